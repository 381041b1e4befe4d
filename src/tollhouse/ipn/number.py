"""Number events and insert their deliveries, and skip numbers after the database was restored.

A merchant's events have the numbers 1, 2, 3 ... without a gap, in the order in which the sequencer reads them. With its
number an event gets its public ID. Before that, its position orders it; database transactions may commit in another
order or not at all. One sequencer runs at a time; a second one returns at once.

An event with a URL has a delivery in each of its forms. Of the events of one thread the first is due, unless an earlier
one is unfinished; the others are held.
"""

from __future__ import annotations

from tollhouse.ipn import store
from tollhouse.ipn.store import skip_event_sequences
from tollhouse.kernel.urls import get_origin
from tollhouse.storage.database import Database, PlainConnection
from tollhouse.storage.ids import skip_ids

#: Events of one database transaction.
MAX_BATCH_EVENTS = 500


async def number_batch(database: Database, *, batch: int = MAX_BATCH_EVENTS) -> int:
    """Number up to `batch` events, insert their deliveries, and return the number of events."""
    async with database.acquire() as connection:
        events = await store.select_unnumbered_events(connection, batch)
        if not events:
            return 0
        return await store.number_events(connection, events, [get_origin(event.url) for event in events])


async def skip_after_restore(connection: PlainConnection) -> int:
    """Skip the IDs and event numbers that the lost part of the database may have assigned.

    Returns the number of merchants. Runs in the caller's database transaction, before any other write to the restored
    database.
    """
    await skip_ids(connection)
    return await skip_event_sequences(connection)
