"""Continue after the database was restored, or a lagging standby was promoted."""

from __future__ import annotations

from tollhouse.ipn.store import skip_event_sequences
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.ids import skip_ids


async def skip_after_restore(connection: PlainConnection) -> int:
    """Skip the IDs and event numbers that the lost part of the database may have assigned.

    Returns the number of merchants. Runs in the caller's database transaction, before any other write to the restored
    database.
    """
    await skip_ids(connection)
    return await skip_event_sequences(connection)
