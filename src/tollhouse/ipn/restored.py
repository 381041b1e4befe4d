"""Go on after the database was restored, or a standby that lagged behind was promoted."""

from __future__ import annotations

from tollhouse.ipn.store import skip_event_sequences
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.ids import skip_ids


async def skip_after_restore(connection: PlainConnection) -> int:
    """Leave out the ids and the event numbers that the lost part of the database may have given out.

    Returns the number of merchants. In the caller's transaction, before anything is written to the restored database.
    """
    await skip_ids(connection)
    return await skip_event_sequences(connection)
