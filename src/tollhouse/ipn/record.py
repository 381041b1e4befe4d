"""An event for every settled payment, written in the transaction that settles it, with its body rendered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from tollhouse.ipn.form import choose_format
from tollhouse.ipn.legacy import build_xml
from tollhouse.payments.model import Payment
from tollhouse.payments.view import render_event
from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

queries = load_queries("tollhouse.ipn")


class EventRow(NamedTuple):
    """An event to be numbered and delivered: about a transaction, or about a subscription where there is none."""

    merchant_id: int
    payment_id: int | None
    transaction_id: int | None
    subscription_id: int | None
    site_id: int
    kind: str
    status: str
    url: str
    format: str
    body: bytes
    legacy_xml: bytes | None
    request_id: str


class RecordEvent:
    """One event per final fact; none for what is pending."""

    rank = 90
    stands_alone = True

    def rows(self, payment: Payment) -> Sequence[EventRow]:
        """Return the event about a settled payment. Its kind is the transaction's mode.

        One that the site does not want is recorded all the same, without a URL.
        """
        chosen = choose_format(payment.ipn_format, payment.mode.value)
        row = EventRow(
            merchant_id=payment.merchant_id,
            payment_id=payment.payment_id,
            transaction_id=payment.transaction_id,
            subscription_id=None,
            site_id=payment.site_id,
            kind=payment.mode.value,
            status=payment.status.value,
            url=payment.ipn_url if chosen else "",
            format=chosen or "json",
            body=render_event(payment),
            legacy_xml=build_xml(payment) if chosen in {"legacy", "both"} else None,
            request_id=payment.request_id,
        )
        return (row,)

    async def write(self, connection: PlainConnection, rows: Sequence[EventRow]) -> None:
        """Insert the events of a batch."""
        await insert_events(connection, rows)


async def insert_events(connection: PlainConnection, rows: Sequence[EventRow]) -> None:
    """Insert events, in the transaction that made the facts."""
    await queries.insert_events(
        connection,
        merchant_ids=[row.merchant_id for row in rows],
        payment_ids=[row.payment_id for row in rows],
        transaction_ids=[row.transaction_id for row in rows],
        subscription_ids=[row.subscription_id for row in rows],
        site_ids=[row.site_id for row in rows],
        kinds=[row.kind for row in rows],
        statuses=[row.status for row in rows],
        urls=[row.url for row in rows],
        formats=[row.format for row in rows],
        bodies=[row.body for row in rows],
        legacy_xmls=[row.legacy_xml for row in rows],
        request_ids=[row.request_id for row in rows],
    )
