"""Limits of the database server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

queries = load_queries("tollhouse.storage")


async def select_connection_limit(connection: PlainConnection) -> int:
    """Return how many connections the server takes from programs, besides those it keeps for its administrators."""
    limit: int = await queries.select_connection_limit(connection)
    return limit
