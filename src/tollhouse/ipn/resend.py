"""Send a callback again on request.

A resend is a normal delivery with its own number: leased, checked, posted and retried by the same schedule. It belongs
to no thread, so it goes out at once, and later events do not wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tollhouse.ipn.form import Form, forms_of
from tollhouse.ipn.store import OriginKey, queries, upsert_hosts
from tollhouse.kernel.errors import Invalid, NotFound, RequestInProgress
from tollhouse.kernel.faults import Subject, reject
from tollhouse.kernel.urls import get_origin
from tollhouse.storage.database import PlainConnection

#: Deliveries of one event, including the first ones.
MAX_DELIVERIES = 100


class EventKey(NamedTuple):
    """A merchant's event, by its public ID and by the key of its row."""

    merchant_id: int
    event_id: int
    position: int


class DeliveryKey(NamedTuple):
    """One delivery of a merchant's event."""

    event_id: int
    number: int


async def resend_transaction(
    connection: PlainConnection, *, merchant_id: int, transaction_id: int, url: str | None
) -> DeliveryKey:
    """Send the event of a transaction again to the given or the payment's own URL; return the delivery.

    Runs in the caller's database transaction. Raises NotFound, Invalid, and RequestInProgress if there is no event yet.
    """
    own = {"merchant_id": merchant_id, "transaction_id": transaction_id}
    if await queries.select_transaction_status(connection, **own) is None:
        raise NotFound("Transaction not found.")
    event = await queries.lock_transaction_event(connection, **own)
    if event is None:
        raise RequestInProgress("The transaction has no callback yet. Try again when it is finished.")
    key = EventKey(merchant_id, event["event_id"], event["position"])
    return await _insert(connection, key, url=url or event["ipn_url"], forms=forms_of(event["format"]))


async def resend_delivery(connection: PlainConnection, *, merchant_id: int, event_id: int, number: int) -> DeliveryKey:
    """Repeat a delivery with the same event, form and URL. Raises NotFound and Invalid."""
    delivery = await queries.lock_delivery_event(connection, merchant_id=merchant_id, event_id=event_id, number=number)
    if delivery is None:
        raise NotFound("Callback not found.")
    key = EventKey(merchant_id, event_id, delivery["position"])
    return await _insert(connection, key, url=delivery["url"], forms=(delivery["form"],))


async def _insert(connection: PlainConnection, key: EventKey, *, url: str, forms: Sequence[Form]) -> DeliveryKey:
    """Insert deliveries of a locked event, one for each form, and return the first."""
    if not url:
        raise reject(Subject.CALLBACK_URL, "is required, because the payment has none")
    last: int = await queries.select_last_delivery(connection, merchant_id=key.merchant_id, event_id=key.event_id)
    if last + len(forms) > MAX_DELIVERIES:
        raise Invalid({}, f"This callback was delivered {last} times, the maximum. Read it instead.")
    origin = OriginKey(key.merchant_id, get_origin(url))
    host_id = (await upsert_hosts(connection, [origin]))[origin]
    for number, form in enumerate(forms, start=last + 1):
        await queries.insert_resend(connection, **key._asdict(), number=number, form=form, host_id=host_id, url=url)
    return DeliveryKey(key.event_id, last + 1)
