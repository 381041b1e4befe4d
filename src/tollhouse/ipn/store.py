"""Rows of delivery. Each function is one step of numbering, leasing or finishing, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from tollhouse.ipn.form import Form
from tollhouse.ipn.model import DeliveryState, OutboxState
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries

#: Deliveries that are counted; a longer outbox is estimated.
MAX_COUNTED = 10_000

#: Deliveries of one host that become due at once after it has recovered.
MAX_BROUGHT_FORWARD = 1_000

queries = load_queries("tollhouse.ipn")


class HostKey(NamedTuple):
    """One endpoint of one merchant. Hosts are locked in this order."""

    merchant_id: int
    host_id: int


class OrderingKey(NamedTuple):
    """A thread: events that are delivered in order, such as those of one payment."""

    merchant_id: int
    thread: int


class HeldKey(NamedTuple):
    """The key of a held delivery, in reading order."""

    merchant_id: int
    event_id: int
    number: int


class HeldDelivery(NamedTuple):
    """A held delivery. An orphan waits for an event that is finished, so no outcome will release it."""

    key: HeldKey
    thread: OrderingKey
    is_orphan: bool


class OriginKey(NamedTuple):
    """A host by its origin, before its ID is known."""

    merchant_id: int
    origin: str


class UnnumberedEvent(NamedTuple):
    """An event without a number. An event without a URL is not delivered."""

    position: int
    url: str


class OutcomeRow(NamedTuple):
    """An outcome as `record_deliveries_v1` takes it. Without `started_at` it was released without an attempt."""

    merchant_id: int
    event_id: int
    number: int
    lease: int
    state: DeliveryState
    retry_in: timedelta | None
    asked_for: timedelta | None
    started_at: datetime | None
    duration_ms: int | None
    address: str | None
    status: int | None
    error: str | None
    excerpt: str | None


@dataclass(frozen=True, slots=True)
class ProbeRules:
    """The number of failures after which an endpoint gets one attempt at a time, and the pauses between these."""

    after: int
    first_pause: timedelta
    longest_pause: timedelta


class Redelivery(NamedTuple):
    """A delivery of an event that was delivered before. It is held if it waits for an earlier event of its thread."""

    merchant_id: int
    event_id: int
    position: int
    number: int
    form: Form
    host_id: int
    thread: int | None
    url: str
    held: bool
    created_at: datetime


async def select_unnumbered_events(connection: PlainConnection, batch: int) -> list[UnnumberedEvent]:
    """Return the oldest events without a number."""
    return [UnnumberedEvent(*row) async for row in queries.select_unnumbered_events(connection, batch=batch)]


async def number_events(connection: PlainConnection, events: Sequence[UnnumberedEvent], origins: Sequence[str]) -> int:
    """Number events, insert their deliveries, and return the number of events; 0 if another sequencer runs."""
    numbered: int = await queries.number_events(
        connection, positions=[event.position for event in events], origins=origins
    )
    return numbered


async def skip_event_sequences(connection: PlainConnection) -> int:
    """Set the counter of each merchant to the next multiple of 10^9; return the number of merchants."""
    moved: int = await queries.skip_event_sequences(connection)
    return moved


async def upsert_hosts(connection: PlainConnection, origins: Iterable[OriginKey]) -> dict[OriginKey, int]:
    """Find or create hosts, mark them for the next claim, and return their IDs."""
    ordered = sorted(set(origins))
    rows = queries.upsert_hosts(
        connection, merchant_ids=[key.merchant_id for key in ordered], origins=[key.origin for key in ordered]
    )
    return {OriginKey(row["merchant_id"], row["origin"]): row["host_id"] async for row in rows}


async def insert_deliveries(connection: PlainConnection, redeliveries: Sequence[Redelivery]) -> None:
    """Insert further deliveries of events."""
    await queries.insert_deliveries(
        connection,
        merchant_ids=[redelivery.merchant_id for redelivery in redeliveries],
        event_ids=[redelivery.event_id for redelivery in redeliveries],
        positions=[redelivery.position for redelivery in redeliveries],
        numbers=[redelivery.number for redelivery in redeliveries],
        forms=[redelivery.form for redelivery in redeliveries],
        host_ids=[redelivery.host_id for redelivery in redeliveries],
        threads=[redelivery.thread for redelivery in redeliveries],
        urls=[redelivery.url for redelivery in redeliveries],
        held=[redelivery.held for redelivery in redeliveries],
        created_at=[redelivery.created_at for redelivery in redeliveries],
    )


async def select_next_delivery(
    connection: PlainConnection, merchant_id: int, *, with_failing: bool = True
) -> datetime | None:
    """Return the merchant time of the next due attempt; failing endpoints count only if included."""
    due_at: datetime | None = await queries.select_next_delivery(
        connection, merchant_id=merchant_id, with_failing=with_failing
    )
    return due_at


async def select_deliveries_busy(
    connection: PlainConnection, merchant_id: int, *, due_by: datetime, made_by: datetime, with_failing: bool = True
) -> bool:
    """Return whether any event of a merchant is unnumbered, or any callback is due or being sent.

    Only callbacks due by a merchant time and made by a real time count.
    """
    return bool(
        await queries.select_deliveries_busy(
            connection, merchant_id=merchant_id, due_by=due_by, made_by=made_by, with_failing=with_failing
        )
    )


async def record_deliveries(
    connection: PlainConnection, outcomes: Sequence[OutcomeRow], *, slow_after_ms: int, probing: ProbeRules
) -> set[tuple[int, int, int]]:
    """Write outcomes with a valid lease, release held events, count for the hosts; return the keys written."""
    rows = queries.record_deliveries(
        connection,
        outcomes=outcomes,
        slow_after_ms=slow_after_ms,
        probe_after=probing.after,
        first_pause=probing.first_pause,
        longest_pause=probing.longest_pause,
        brought_forward=MAX_BROUGHT_FORWARD,
    )
    return {(row["merchant_id"], row["event_id"], row["number"]) async for row in rows}


async def release_held(connection: PlainConnection, threads: Iterable[OrderingKey]) -> set[HostKey]:
    """Release the next event of each thread without an unfinished one; return the hosts of its deliveries."""
    ordered = sorted(set(threads))
    if not ordered:
        return set()
    rows = queries.release_held(
        connection, merchant_ids=[key.merchant_id for key in ordered], threads=[key.thread for key in ordered]
    )
    return {HostKey(*row) async for row in rows}


async def select_held(connection: PlainConnection, after: HeldKey, *, max_rows: int) -> list[HeldDelivery]:
    """Return held deliveries after a position, in the order of their keys."""
    rows = queries.select_held(
        connection,
        after_merchant_id=after.merchant_id,
        after_event_id=after.event_id,
        after_number=after.number,
        max_rows=max_rows,
    )
    return [
        HeldDelivery(
            HeldKey(row["merchant_id"], row["event_id"], row["number"]),
            OrderingKey(row["merchant_id"], row["thread"]),
            is_orphan=row["is_orphan"],
        )
        async for row in rows
    ]


async def wake_hosts(connection: PlainConnection, hosts: Iterable[HostKey]) -> None:
    """Mark hosts with new due deliveries for the next claim."""
    ordered = sorted(set(hosts))
    if ordered:
        await queries.wake_hosts(connection, **host_columns(ordered))


async def select_outbox_state(connection: PlainConnection, *, max_rows: int = MAX_COUNTED) -> OutboxState:
    """Return the number of unfinished deliveries and the age of the oldest. A depth above `max_rows` is estimated."""
    row = await queries.select_outbox_state(connection, max_rows=max_rows)
    return OutboxState(depth=row["depth"], oldest_age=row["oldest_age"])


def host_columns(hosts: Sequence[HostKey]) -> dict[str, list[int]]:
    """Convert host keys to the columns that queries take."""
    return {"merchant_ids": [key.merchant_id for key in hosts], "host_ids": [key.host_id for key in hosts]}
