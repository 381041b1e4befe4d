"""Proving the books: all that is new, piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tollhouse.ledger.prove import NEW_FACTS, prove_books

if TYPE_CHECKING:
    from tollhouse.storage.database import Database

#: Pieces at a time; what is left then waits for the next look.
MOST_PIECES = 50


async def prove_all(database: Database) -> int:
    """Prove what is new, and return how many facts that were."""
    total = 0
    for _ in range(MOST_PIECES):
        new = await prove_books(database)
        total += new
        if new < NEW_FACTS:
            break
    return total
