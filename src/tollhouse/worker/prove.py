"""Proving the books: all that is new, piece by piece."""

from __future__ import annotations

from collections.abc import Callable

from tollhouse.ledger.verify_new import MAX_NEW_EVENTS, verify_new_entries
from tollhouse.storage.database import Database

#: Pieces at a time; what is left then waits for the next look.
MAX_PIECES = 50


async def prove_all(database: Database, *, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """Prove what is new and one step of the round, and return how many facts were new."""
    total = new = await verify_new_entries(database)
    for _ in range(MAX_PIECES - 1):
        if new < MAX_NEW_EVENTS or is_stopping():
            break
        new = await verify_new_entries(database, round_step=0)
        total += new
    return total
