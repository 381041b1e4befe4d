"""Databases that do something besides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tollhouse.storage.database import Database, PlainConnection


class CountingDatabase(Database):
    """Notes each statement that goes to the server, also those that begin and end transactions."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        super().__init__(pool)
        self.statements: list[str] = []

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[PlainConnection]:
        """Lend a connection that notes what it sends."""
        async with super().acquire() as connection:
            connection.add_query_logger(self._note)
            try:
                yield connection
            finally:
                if not connection.is_closed():
                    connection.remove_query_logger(self._note)

    def _note(self, record: Any) -> None:
        self.statements.append(" ".join(record.query.split()))
