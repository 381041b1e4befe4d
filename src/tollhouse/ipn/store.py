"""Rows of delivery. Each function is one step of numbering, claiming or finishing, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from tollhouse.ipn.form import Form
from tollhouse.ipn.model import DeliveryState, OutboxState
from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

#: What is counted of the outbox; a longer one is estimated.
MAX_COUNTED = 10_000

#: Deliveries of one host that are brought forward when it has recovered.
MAX_BROUGHT_FORWARD = 1_000

queries = load_queries("tollhouse.ipn")


class HostKey(NamedTuple):
    """One endpoint of one merchant, in the order in which hosts are locked."""

    merchant_id: int
    host_id: int


class OrderingKey(NamedTuple):
    """Events that go one after the other."""

    merchant_id: int
    thread: int


class HeldKey(NamedTuple):
    """A delivery, as a position in the order in which held ones are read."""

    merchant_id: int
    event_id: int
    number: int


class HeldDelivery(NamedTuple):
    """A held delivery. An orphan waits for an event that is finished already, so nothing will free it."""

    key: HeldKey
    thread: OrderingKey
    is_orphan: bool


class OriginKey(NamedTuple):
    """A host by its name, before its id is known."""

    merchant_id: int
    origin: str


class UnnumberedEvent(NamedTuple):
    """An event as the sequencer sees it. One without a URL is not delivered."""

    merchant_id: int
    event_id: int
    url: str


class OutcomeRow(NamedTuple):
    """An outcome as `record_deliveries_v1` takes it. One without `started_at` was given back untried."""

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
class Probing:
    """From how many failures on an endpoint gets one attempt at a time, and the pauses between them."""

    after: int
    first_pause: timedelta
    longest_pause: timedelta


class Redelivery(NamedTuple):
    """A delivery of an event that was delivered before. It is held if it waits for an earlier event of its thread."""

    merchant_id: int
    event_id: int
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
    """Number events and make their deliveries, and return how many; 0 where another sequencer is at it."""
    numbered: int = await queries.number_events(
        connection,
        merchant_ids=[event.merchant_id for event in events],
        event_ids=[event.event_id for event in events],
        origins=origins,
    )
    return numbered


async def skip_event_sequences(connection: PlainConnection) -> int:
    """Move every merchant's counter to the next multiple of 10^9, and return how many merchants there are."""
    moved: int = await queries.skip_event_sequences(connection)
    return moved


async def upsert_hosts(connection: PlainConnection, origins: Iterable[OriginKey]) -> dict[OriginKey, int]:
    """Find or create hosts, have a claim look at them, and return their ids."""
    ordered = sorted(set(origins))
    rows = queries.upsert_hosts(
        connection,
        merchant_ids=[key.merchant_id for key in ordered],
        origins=[key.origin for key in ordered],
    )
    return {OriginKey(row["merchant_id"], row["origin"]): row["host_id"] async for row in rows}


async def insert_deliveries(connection: PlainConnection, routes: Sequence[Redelivery]) -> None:
    """Send events again, each on its route."""
    await queries.insert_deliveries(
        connection,
        merchant_ids=[route.merchant_id for route in routes],
        event_ids=[route.event_id for route in routes],
        numbers=[route.number for route in routes],
        forms=[route.form for route in routes],
        host_ids=[route.host_id for route in routes],
        threads=[route.thread for route in routes],
        urls=[route.url for route in routes],
        held=[route.held for route in routes],
        created_at=[route.created_at for route in routes],
    )


async def select_next_delivery(
    connection: PlainConnection, merchant_id: int, *, with_failing: bool = True
) -> datetime | None:
    """Return when the next attempt at a merchant's callbacks falls due, in its time; to failing endpoints if asked."""
    due_at: datetime | None = await queries.select_next_delivery(
        connection, merchant_id=merchant_id, with_failing=with_failing
    )
    return due_at


async def select_deliveries_busy(
    connection: PlainConnection, merchant_id: int, *, due_by: datetime, made_by: datetime, with_failing: bool = True
) -> bool:
    """Tell whether any of a merchant's events waits for its number, or any of its callbacks is due or on its way.

    Those count that were due by a moment of the merchant's time and made by one of real time.
    """
    return bool(
        await queries.select_deliveries_busy(
            connection, merchant_id=merchant_id, due_by=due_by, made_by=made_by, with_failing=with_failing
        )
    )


async def record_deliveries(
    connection: PlainConnection, outcomes: Sequence[OutcomeRow], *, slow_after_ms: int, probing: Probing
) -> set[tuple[int, int, int]]:
    """Write outcomes whose lease still holds, let held events go, count for the hosts, and return their keys."""
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
    """Let the next event of each thread go, where none is under way, and return the hosts that they go to."""
    ordered = sorted(set(threads))
    if not ordered:
        return set()
    rows = queries.release_held(
        connection,
        merchant_ids=[key.merchant_id for key in ordered],
        threads=[key.thread for key in ordered],
    )
    return {HostKey(*row) async for row in rows}


async def select_held(connection: PlainConnection, after: HeldKey, *, most: int) -> list[HeldDelivery]:
    """Return held deliveries after a position, in the order of their keys."""
    rows = queries.select_held(
        connection,
        after_merchant_id=after.merchant_id,
        after_event_id=after.event_id,
        after_number=after.number,
        most=most,
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
    """Have a claim look at hosts for which something was made due."""
    ordered = sorted(set(hosts))
    if ordered:
        await queries.wake_hosts(connection, **host_columns(ordered))


async def select_outbox_state(connection: PlainConnection, *, most: int = MAX_COUNTED) -> OutboxState:
    """Return how much is not finished, and how old the oldest is. The depth is an estimate if it is above `most`."""
    row = await queries.select_outbox_state(connection, most=most)
    return OutboxState(depth=row["depth"], oldest_age=row["oldest_age"])


def host_columns(hosts: Sequence[HostKey]) -> dict[str, list[int]]:
    """Spread hosts into the columns that queries take."""
    return {"merchant_ids": [key.merchant_id for key in hosts], "host_ids": [key.host_id for key in hosts]}
