"""Read the delivery log: events, deliveries and their attempts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from tollhouse.ipn.model import AttemptEntry, AttemptError, DeliveryEntry, EventEntry, Record
from tollhouse.ipn.store import queries
from tollhouse.kernel.errors import NotFound
from tollhouse.kernel.ids import MAX_ID
from tollhouse.storage.database import PlainConnection

#: Deliveries of one response.
MAX_DELIVERIES = 100


#: The errors of attempts as texts for people.
ATTEMPT_TEXTS: Mapping[AttemptError, str] = {
    "address_refused": "this address is not allowed for callbacks",
    "dns_failed": "the host has no address",
    "connect_failed": "no server listens at this address",
    "connect_timeout": "no connection in time",
    "tls_failed": "the TLS certificate is invalid",
    "disconnected": "the connection ended before the response",
    "bad_answer": "the response is not HTTP",
    "timeout": "no response in time",
    "redirected": "redirects are not followed",
    "not_acknowledged": "only 200, 201 and 202 acknowledge",
    "internal": "an internal error of the gateway",
}


def describe_attempt(attempt: AttemptEntry) -> str:
    """Describe the result of a delivery attempt: the status and the error."""
    parts = [str(attempt.status)] if attempt.status else []
    return ": ".join(parts + ([ATTEMPT_TEXTS[attempt.error]] if attempt.error else []))


async def select_payment_deliveries(
    connection: PlainConnection, *, merchant_id: int, payment_id: int, max_rows: int = MAX_DELIVERIES
) -> list[DeliveryEntry]:
    """Return the deliveries of a payment's events, oldest first. Unnumbered events have none yet."""
    rows = queries.select_payment_deliveries(
        connection, merchant_id=merchant_id, payment_id=payment_id, max_rows=max_rows
    )
    return await _add_attempts(connection, merchant_id, rows)


async def select_event_deliveries(
    connection: PlainConnection, *, merchant_id: int, event_id: int, max_rows: int = MAX_DELIVERIES
) -> list[DeliveryEntry]:
    """Return the deliveries of one event, oldest first."""
    rows = queries.select_event_deliveries(connection, merchant_id=merchant_id, event_id=event_id, max_rows=max_rows)
    return await _add_attempts(connection, merchant_id, rows)


async def select_recent_deliveries(
    connection: PlainConnection, *, merchant_id: int, before_event_id: int | None = None, max_rows: int = MAX_DELIVERIES
) -> list[DeliveryEntry]:
    """Return a merchant's deliveries, newest first; for the next page, those before the last event of this one."""
    before = MAX_ID if before_event_id is None else before_event_id
    rows = queries.select_recent_deliveries(connection, merchant_id=merchant_id, before=before, max_rows=max_rows)
    return await _add_attempts(connection, merchant_id, rows)


async def select_transaction_record(
    connection: PlainConnection, *, merchant_id: int, transaction_id: int
) -> Record | None:
    """Return the newest attempt of a transaction's callbacks, or its delivery without one; None if it has none."""
    row = await queries.select_transaction_record(connection, merchant_id=merchant_id, transaction_id=transaction_id)
    return Record(**row) if row else None


async def select_order_records(
    connection: PlainConnection, *, merchant_id: int, payment_id: int, max_rows: int = MAX_DELIVERIES
) -> list[Record]:
    """Return the attempts of an order's callbacks, newest first. Raises NotFound for an unknown order."""
    own = {"merchant_id": merchant_id, "payment_id": payment_id}
    records = [Record(**row) async for row in queries.select_order_records(connection, **own, max_rows=max_rows)]
    if not records and not await queries.select_order_exists(connection, **own):
        raise NotFound("Order not found.")
    return records


async def select_first_record(
    connection: PlainConnection, *, merchant_id: int, event_id: int, number: int
) -> tuple[Record, bool] | None:
    """Return a delivery with its first attempt, and whether its endpoint is paused."""
    row = await queries.select_first_record(connection, merchant_id=merchant_id, event_id=event_id, number=number)
    if row is None:
        return None
    fields = dict(row)
    is_paused = fields.pop("is_paused")
    return Record(**fields), is_paused


async def select_events_after(
    connection: PlainConnection, *, merchant_id: int, after: int, max_rows: int
) -> list[EventEntry]:
    """Return a merchant's events after a number, in order.

    Numbers are assigned and committed in order, so a page never has a gap that is filled later.
    """
    rows = queries.select_events_after(connection, merchant_id=merchant_id, after=after, max_rows=max_rows)
    return [EventEntry(**row) async for row in rows]


async def _add_attempts(connection: PlainConnection, merchant_id: int, rows: AsyncIterator[Any]) -> list[DeliveryEntry]:
    """Join deliveries with their attempts."""
    deliveries = [row async for row in rows]
    event_ids = sorted({row["event_id"] for row in deliveries})
    attempts: dict[tuple[int, int], list[AttemptEntry]] = {}
    async for row in queries.select_attempts(connection, merchant_id=merchant_id, event_ids=event_ids):
        event_id, delivery_number, *fields = row
        attempts.setdefault((event_id, delivery_number), []).append(AttemptEntry(*fields))
    return [
        DeliveryEntry(**row, attempts=tuple(attempts.get((row["event_id"], row["number"]), ()))) for row in deliveries
    ]
