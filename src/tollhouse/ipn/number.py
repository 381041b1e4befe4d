"""Number events and put them on their way.

A merchant's events have the numbers 1, 2, 3 ... without a gap, in the order in which the sequencer saw them. With its
number an event gets its lasting id, which never repeats. Before that it has one that orders it, given out by
transactions that may commit in another order or not at all. There is one sequencer at a time; a second one leaves at
once.

An event with a URL is delivered in each of its forms. Of the events of one thread the first may go, unless an earlier
one is under way; the others are held.
"""

from __future__ import annotations

from tollhouse.ipn import store
from tollhouse.kernel.urls import get_origin
from tollhouse.storage.database import Database

#: Events of one transaction.
BATCH = 500


async def number_batch(database: Database, *, batch: int = BATCH) -> int:
    """Number up to `batch` events, make their deliveries, and return how many events there were."""
    async with database.acquire() as connection:
        events = await store.select_unnumbered_events(connection, batch)
        if not events:
            return 0
        return await store.number_events(connection, events, [get_origin(event.url) for event in events])
