"""Number events and put them on their way.

A merchant's events have the numbers 1, 2, 3 ... without a gap, in the order in which the sequencer saw them. With its
number an event gets its lasting id, which never repeats. Before that it has one that orders it, given out by
transactions that may commit in another order or not at all. There is one sequencer at a time; a second one leaves at
once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tollhouse.ipn import store
from tollhouse.ipn.form import forms_of
from tollhouse.ipn.store import OrderingKey, OriginKey, Route, UnnumberedEvent
from tollhouse.kernel.urls import origin_of
from tollhouse.storage.database import Database

#: Events of one transaction.
BATCH = 500


async def number_batch(database: Database, *, batch: int = BATCH) -> int:
    """Number up to `batch` events, make their deliveries, and return how many events there were."""
    async with database.acquire() as connection:
        if not await store.select_unnumbered_exist(connection):
            return 0
    async with database.transaction() as connection:
        if not await store.lock_numbering(connection):
            return 0
        # A statement of its own, after the lock: it sees what the sequencer before us committed.
        events = await store.select_unnumbered_events(connection, batch)
        if events:
            events = await store.update_event_sequences(connection, events)
        deliverable = [event for event in events if is_delivered(event)]
        if deliverable:
            unfinished = await store.lock_unfinished_threads(connection, _threads_of(deliverable))
            hosts = await store.upsert_hosts(connection, map(_origin_key, deliverable))
            await store.insert_deliveries(connection, plan_routes(deliverable, unfinished=unfinished, hosts=hosts))
    return len(events)


def is_delivered(event: UnnumberedEvent) -> bool:
    """Say whether an event is posted. What has no URL is numbered and kept."""
    return event.url != ""


def plan_routes(
    events: Sequence[UnnumberedEvent], *, unfinished: Collection[OrderingKey], hosts: dict[OriginKey, int]
) -> list[Route]:
    """Give each event its host, once for each of its forms.

    Of each thread the first event may go, unless an earlier one is still under way; its forms do not wait for each
    other.
    """
    seen = set(unfinished)
    routes: list[Route] = []
    for event in sorted(events, key=lambda event: (event.merchant_id, event.event_id)):
        thread = event.thread_key
        host_id, held = hosts[_origin_key(event)], thread in seen
        routes += [Route(event, n, form, host_id, held) for n, form in enumerate(forms_of(event.format), start=1)]
        if thread is not None:
            seen.add(thread)
    return routes


def _threads_of(events: Sequence[UnnumberedEvent]) -> list[OrderingKey]:
    return [thread for event in events if (thread := event.thread_key) is not None]


def _origin_key(event: UnnumberedEvent) -> OriginKey:
    return OriginKey(event.merchant_id, origin_of(event.url))
