"""The time and the connection limit of the database server."""

from __future__ import annotations

from tollhouse.kernel.clock import DatabaseClock
from tollhouse.storage.database import Database, PlainConnection
from tollhouse.storage.queries import load_queries

queries = load_queries("tollhouse.storage")


async def select_connection_limit(connection: PlainConnection) -> int:
    """Return the number of connections for programs, without those that the server reserves for administrators."""
    limit: int = await queries.select_connection_limit(connection)
    return limit


async def set_clock(clock: DatabaseClock, database: Database) -> None:
    """Set a clock to the database's time. Raises DatabaseUnavailable."""
    async with database.acquire() as connection:
        clock.observe(await queries.select_time(connection))
