"""Verify the ledger: all new entries, in bounded steps."""

from __future__ import annotations

from collections.abc import Callable

from tollhouse.ledger.verify_new import MAX_NEW_EVENTS, verify_new_entries
from tollhouse.storage.database import Database

#: Steps of one run; the remaining entries are verified in the next one.
MAX_PIECES = 50


async def prove_all(database: Database, *, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """Verify new entries and one step of the round; return the number of new events."""
    total = new = await verify_new_entries(database)
    for _ in range(MAX_PIECES - 1):
        if new < MAX_NEW_EVENTS or is_stopping():
            break
        new = await verify_new_entries(database, round_step=0)
        total += new
    return total
