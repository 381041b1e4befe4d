"""The connection limit of the database server."""

from __future__ import annotations

from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries

queries = load_queries("tollhouse.storage")


async def select_connection_limit(connection: PlainConnection) -> int:
    """Return the number of connections for programs, without those that the server reserves for administrators."""
    limit: int = await queries.select_connection_limit(connection)
    return limit
