"""Ids that never repeat, also not after a restore; docs/adr/0019 says how and why."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

#: Ids that follow each other differ by this much: the two digits below it are the installation's.
ID_STEP = 100

#: `object`: orders, transactions, subscriptions and sites, of which no two share a number.
Kind = Literal["object", "event"]

#: Ids skipped after a restore: an hour of them, for the clock of the server may be behind the one before.
SKIPPED_IDS = 3_600 * 10_000

queries = load_queries("tollhouse.storage")


async def reserve_ids(connection: PlainConnection, kind: Kind, size: int) -> int:
    """Reserve ids and return the first; the others follow it in steps of `ID_STEP`."""
    first: int = await queries.reserve_ids(connection, kind=kind, size=size)
    return first


async def skip_ids(connection: PlainConnection) -> None:
    """Leave out what the program may have given out before the database was restored."""
    for kind in ("event", "object"):
        await queries.reserve_ids(connection, kind=kind, size=SKIPPED_IDS)


async def update_installation(connection: PlainConnection, number: int) -> None:
    """Set the two digits that end every id from now on, 0 to 99."""
    await queries.update_installation(connection, number=number)


class NumberBlocks:
    """Gives numbers one by one from blocks that `reserve` brings, so that an id is known before its row is written.

    `reserve` returns the first number of a fresh block of `size`; the others follow in steps of `ID_STEP`. Numbers of a
    block that was not used up are lost when the process ends; ids have gaps and nobody may conclude anything from them.
    """

    def __init__(self, reserve: Callable[[], Awaitable[int]], *, size: int) -> None:
        self._reserve = reserve
        self._size = size
        self._next = self._end = 0
        self._reserving: asyncio.Task[None] | None = None

    async def take(self) -> int:
        """Return the next number, reserving a block when the last one is used up.

        All who wait for a block wait for the same one. Raises what `reserve` raises.
        """
        while self._next == self._end:
            if self._reserving is None:
                self._reserving = asyncio.create_task(self._refill(), name="reserve ids")
            # Whoever goes away leaves it to the others.
            await asyncio.shield(self._reserving)
        number = self._next
        self._next += ID_STEP
        return number

    async def _refill(self) -> None:
        try:
            first = await self._reserve()
            self._next, self._end = first, first + self._size * ID_STEP
        finally:
            self._reserving = None
