"""Rows of delivery. Each function is one step of numbering, claiming or finishing, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from tollhouse.ipn.form import Form
from tollhouse.ipn.model import Attempt, OutboxState, Outcome
from tollhouse.storage.ids import ID_STEP, reserve_ids
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


@dataclass(frozen=True, slots=True)
class UnnumberedEvent:
    """An event as the sequencer sees it: all but the body."""

    merchant_id: int
    event_id: int
    thread: int | None
    url: str
    format: str
    created_at: datetime

    @property
    def thread_key(self) -> OrderingKey | None:
        """The thread, if the event belongs to one."""
        return None if self.thread is None else OrderingKey(self.merchant_id, self.thread)


@dataclass(frozen=True, slots=True)
class Route:
    """Where an event goes and in which form, and whether it waits for an earlier one of its thread."""

    event: UnnumberedEvent
    number: int
    form: Form
    host_id: int
    held: bool


@dataclass(frozen=True, slots=True)
class HostChange:
    """What a batch of outcomes says of a host.

    `failures` are those since the last acknowledgement in the batch, or all if there was none; `woken` says that the
    batch made something due again; `slow` whether the last attempt was; `asked_for` how long the host wants to be left
    alone.
    """

    failures: int = 0
    acknowledged: bool = False
    woken: bool = False
    slow: bool | None = None
    asked_for: timedelta | None = None


async def select_unnumbered_exist(connection: PlainConnection) -> bool:
    """Say whether there is anything to number."""
    return bool(await queries.select_unnumbered_exist(connection))


async def lock_numbering(connection: PlainConnection) -> bool:
    """Become the only sequencer until the transaction ends; False where another one is at it."""
    return bool(await queries.lock_numbering(connection))


async def select_unnumbered_events(connection: PlainConnection, batch: int) -> list[UnnumberedEvent]:
    """Return the oldest events without a number."""
    return [UnnumberedEvent(*row) async for row in queries.select_unnumbered_events(connection, batch=batch)]


async def update_event_sequences(
    connection: PlainConnection, events: Sequence[UnnumberedEvent]
) -> list[UnnumberedEvent]:
    """Number events, per merchant and without a gap, and return them with their lasting ids."""
    first = await reserve_ids(connection, "event", len(events))
    lasting = [replace(event, event_id=first + place * ID_STEP) for place, event in enumerate(events)]
    await queries.update_event_sequences(
        connection,
        merchant_ids=[event.merchant_id for event in events],
        event_ids=[event.event_id for event in events],
        lasting_ids=[event.event_id for event in lasting],
    )
    return lasting


async def skip_event_sequences(connection: PlainConnection) -> int:
    """Move every merchant's counter to the next multiple of 10^9, and return how many merchants there are."""
    moved: int = await queries.skip_event_sequences(connection)
    return moved


async def lock_unfinished_threads(connection: PlainConnection, threads: Iterable[OrderingKey]) -> set[OrderingKey]:
    """Return which threads have an event under way, locked until the transaction ends."""
    ordered = sorted(set(threads))
    if not ordered:
        return set()
    rows = queries.lock_unfinished_threads(
        connection,
        merchant_ids=[key.merchant_id for key in ordered],
        threads=[key.thread for key in ordered],
    )
    return {OrderingKey(*row) async for row in rows}


async def upsert_hosts(connection: PlainConnection, origins: Iterable[OriginKey]) -> dict[OriginKey, int]:
    """Find or create hosts, have a claim look at them, and return their ids."""
    ordered = sorted(set(origins))
    rows = queries.upsert_hosts(
        connection,
        merchant_ids=[key.merchant_id for key in ordered],
        origins=[key.origin for key in ordered],
    )
    return {OriginKey(row["merchant_id"], row["origin"]): row["host_id"] async for row in rows}


async def insert_deliveries(connection: PlainConnection, routes: Sequence[Route]) -> None:
    """Put events on their way."""
    await queries.insert_deliveries(
        connection,
        merchant_ids=[route.event.merchant_id for route in routes],
        event_ids=[route.event.event_id for route in routes],
        numbers=[route.number for route in routes],
        forms=[route.form for route in routes],
        host_ids=[route.host_id for route in routes],
        threads=[route.event.thread for route in routes],
        urls=[route.event.url for route in routes],
        held=[route.held for route in routes],
        created_at=[route.event.created_at for route in routes],
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


async def lock_sibling_deliveries(connection: PlainConnection, outcomes: Sequence[Outcome]) -> None:
    """Lock the unfinished deliveries of the events of these outcomes until the transaction ends."""
    await queries.lock_sibling_deliveries(
        connection,
        merchant_ids=[outcome.delivery.merchant_id for outcome in outcomes],
        event_ids=[outcome.delivery.event_id for outcome in outcomes],
    )


async def finish_deliveries(
    connection: PlainConnection, outcomes: Sequence[Outcome]
) -> dict[tuple[int, int, int], tuple[HostKey, OrderingKey | None]]:
    """Write outcomes whose lease still holds, and return those by merchant, event and delivery number."""
    attempts = [outcome.attempt for outcome in outcomes]
    rows = queries.finish_deliveries(
        connection,
        merchant_ids=[outcome.delivery.merchant_id for outcome in outcomes],
        event_ids=[outcome.delivery.event_id for outcome in outcomes],
        numbers=[outcome.delivery.number for outcome in outcomes],
        leases=[outcome.delivery.lease for outcome in outcomes],
        states=[outcome.state for outcome in outcomes],
        retry_in=[outcome.retry_in for outcome in outcomes],
        **_attempt_columns(attempts),
    )
    return {
        (row["merchant_id"], row["event_id"], row["number"]): (
            HostKey(row["merchant_id"], row["host_id"]),
            None if row["thread"] is None else OrderingKey(row["merchant_id"], row["thread"]),
        )
        async for row in rows
    }


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


async def update_finished_hosts(
    connection: PlainConnection,
    changes: Mapping[HostKey, HostChange],
    *,
    probe_after: int,
    first_pause: timedelta,
    longest_pause: timedelta,
) -> None:
    """Count failures, pause endpoints that fail, and have a claim look at the others.

    What waits for an endpoint that has recovered is brought forward.
    """
    ordered = sorted(changes)
    if not ordered:
        return
    rows = queries.update_finished_hosts(
        connection,
        **host_columns(ordered),
        failures=[changes[key].failures for key in ordered],
        acknowledged=[changes[key].acknowledged for key in ordered],
        woken=[changes[key].woken for key in ordered],
        slow=[changes[key].slow for key in ordered],
        asked_for=[changes[key].asked_for for key in ordered],
        probe_after=probe_after,
        first_pause=first_pause,
        longest_pause=longest_pause,
    )
    recovered = [HostKey(row["merchant_id"], row["host_id"]) async for row in rows if row["is_recovered"]]
    if recovered:
        await queries.update_recovered_deliveries(connection, **host_columns(recovered), most=MAX_BROUGHT_FORWARD)


async def select_outbox_state(connection: PlainConnection, *, most: int = MAX_COUNTED) -> OutboxState:
    """Return how much is not finished, and how old the oldest is. The depth is an estimate if it is above `most`."""
    row = await queries.select_outbox_state(connection, most=most)
    return OutboxState(depth=row["depth"], oldest_age=row["oldest_age"])


def host_columns(hosts: Sequence[HostKey]) -> dict[str, list[int]]:
    """Spread hosts into the columns that queries take."""
    return {"merchant_ids": [key.merchant_id for key in hosts], "host_ids": [key.host_id for key in hosts]}


def _attempt_columns(attempts: Sequence[Attempt | None]) -> dict[str, list[object]]:
    """Spread attempts into columns; a delivery that is given back untried has nulls in all of them."""
    names = {
        "started_at": "started_at",
        "durations_ms": "duration_ms",
        "addresses": "address",
        "statuses": "status",
        "errors": "error",
        "excerpts": "excerpt",
    }
    return {
        column: [None if attempt is None else getattr(attempt, name) for attempt in attempts]
        for column, name in names.items()
    }
