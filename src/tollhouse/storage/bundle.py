"""Several statements in one round trip."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

import asyncpg

from tollhouse.kernel.errors import InternalError

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

PARAMETER = re.compile(r"\$(\d+)")

#: How many combinations of statements are remembered.
TEXTS = 128

#: What the SQL function `demand` raises.
DEMAND_FAILED = "TH001"


class Overtaken(Exception):
    """What the leading statement demanded was not so; nothing was written."""


class Bundle:
    """Statements that go out together with a leading one, as parts of it: all of them are written or none.

    It stands in for a connection and only collects what is executed on it; the leading statement then goes through
    `fetch`, and its rows come back. All parts see the database as it was before any of them, so none may need what
    another one writes. The leading one, which begins with `with`, is carried out first, then the others in the order
    in which they came.
    """

    def __init__(self, connection: PlainConnection) -> None:
        self._connection = connection
        self._parts: list[str] = []
        self._arguments: list[Any] = []

    async def execute(self, statement: str, *arguments: Any) -> str:
        """Take a statement whose result nobody reads."""
        self._parts.append(statement)
        self._arguments += arguments
        return ""

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Send the leading statement with all that was collected, and return its rows. Raises Overtaken."""
        text = _combine(statement, len(arguments), tuple(self._parts))
        try:
            return await self._connection.fetch(text, *arguments, *self._arguments)
        except asyncpg.PostgresError as error:
            if error.sqlstate != DEMAND_FAILED:
                raise
            raise Overtaken from error

    async def fetchrow(self, *_: Any) -> NoReturn:
        """Refuse: a part cannot be read before all is sent."""
        raise InternalError("A statement of a bundle wanted to read.")

    fetchval = fetchrow


@lru_cache(maxsize=TEXTS)
def _combine(leading: str, count: int, parts: tuple[str, ...]) -> str:
    """Write one statement: each part becomes a common table expression with its parameters counted on."""
    expressions = []
    for number, part in enumerate(parts):
        expressions.append(f"part_{number} as ({_shift(part, count)})")
        count += len(set(PARAMETER.findall(part)))
    # PostgreSQL carries out what no other part reads after the main query, the last one first.
    return re.sub(r"^\s*with\b", lambda _: "with " + "".join(f"{each}, " for each in reversed(expressions)), leading)


def _shift(statement: str, by: int) -> str:
    return PARAMETER.sub(lambda found: f"${int(found[1]) + by}", statement.strip().rstrip(";"))
