"""Load named, described SQL statements from the `queries.sql` beside the module that owns them."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any

import aiosql
from aiosql.adapters.asyncpg import AsyncPGAdapter


class _OnConnection(AsyncPGAdapter):
    """An adapter that runs statements on the given connection.

    The stock adapter checks at each call whether it got a pool instead, which takes longer than the rest of the call.
    """

    def _order(self, query_name: str, parameters: dict[str, Any]) -> list[Any]:
        return [parameters[name] for name in self.var_sorted[query_name]]

    async def select(self, conn: Any, query_name: str, sql: str, parameters: Any, *_: Any) -> Any:
        for row in await conn.fetch(sql, *self._order(query_name, parameters)):
            yield row

    async def select_one(self, conn: Any, query_name: str, sql: str, parameters: Any, *_: Any) -> Any:
        return await conn.fetchrow(sql, *self._order(query_name, parameters))

    async def select_value(self, conn: Any, query_name: str, sql: str, parameters: Any) -> Any:
        return await conn.fetchval(sql, *self._order(query_name, parameters))

    async def insert_update_delete(self, conn: Any, query_name: str, sql: str, parameters: Any) -> Any:
        return await conn.execute(sql, *self._order(query_name, parameters))


def pick_fields(record: type, row: Any) -> dict[str, Any]:
    """Return the columns of a row whose names are fields of a record."""
    return {name: row[name] for name in record.__annotations__ if name in row}


def load_queries(package: str, name: str = "queries.sql") -> Any:
    """Load a package's statements.

    Each becomes a function `name(connection, **parameters)`. One that returns rows is iterated with `async for`, others
    are awaited.
    """
    with as_file(files(package).joinpath(name)) as path:
        return aiosql.from_path(path, _OnConnection, mandatory_parameters=False)
