"""Timelines, for tests that have no HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tollhouse.history.timeline import select_timeline

if TYPE_CHECKING:
    from tollhouse.storage.database import Database


async def read_texts(database: Database, transaction_id: int, *, merchant_id: int = 1) -> list[str]:
    """Return the sentences of a timeline, in order."""
    async with database.acquire() as connection:
        timeline = await select_timeline(connection, merchant_id=merchant_id, transaction_id=transaction_id)
    assert timeline is not None
    return [entry.text for entry in timeline.entries]
