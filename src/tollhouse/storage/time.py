"""Read the database's time."""

from __future__ import annotations

from tollhouse.kernel.clock import DatabaseClock
from tollhouse.storage.database import Database
from tollhouse.storage.queries import load_queries

queries = load_queries("tollhouse.storage")


async def set_clock(clock: DatabaseClock, database: Database) -> None:
    """Set a clock to the database's time. Raises DatabaseUnavailable."""
    async with database.acquire() as connection:
        clock.observe(await queries.select_time(connection))
