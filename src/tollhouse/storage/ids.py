"""IDs that never repeat, also not after a restore; see docs/adr/0019."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries

#: Consecutive IDs differ by this much. The two digits below it identify the installation.
ID_STEP = 100

#: `object`: orders, transactions, subscriptions and sites, no two of which share a number.
Kind = Literal["object", "event"]

#: IDs skipped after a restore: an hour of them, because the server's clock may be behind the previous one's.
SKIPPED_IDS = 3_600 * 10_000

queries = load_queries("tollhouse.storage")


async def reserve_ids(connection: PlainConnection, kind: Kind, size: int) -> int:
    """Reserve IDs and return the first. The others follow in steps of `ID_STEP`."""
    first: int = await queries.reserve_ids(connection, kind=kind, size=size)
    return first


async def skip_ids(connection: PlainConnection) -> None:
    """Skip the IDs that the program may have used before the database was restored."""
    for kind in ("event", "object"):
        await queries.reserve_ids(connection, kind=kind, size=SKIPPED_IDS)


async def update_installation(connection: PlainConnection, number: int) -> None:
    """Set the last two digits of all future IDs, 0 to 99."""
    await queries.update_installation(connection, number=number)


class NumberBlocks:
    """A source of single numbers from blocks that `reserve` returns, so that an ID is known before its row is written.

    `reserve` returns the first number of a new block of `size`; the others follow in steps of `ID_STEP`. Unused numbers
    of a block are lost when the process ends; IDs have gaps without meaning.
    """

    def __init__(self, reserve: Callable[[], Awaitable[int]], *, size: int) -> None:
        self._reserve = reserve
        self._size = size
        self._next = self._end = 0
        self._reserving: asyncio.Task[None] | None = None

    async def next_number(self) -> int:
        """Return the next number, reserving a block after the last number of one.

        Concurrent callers wait for the same block. Raises the exceptions of `reserve`.
        """
        while self._next == self._end:
            if self._reserving is None:
                self._reserving = asyncio.create_task(self._refill(), name="reserve ids")
            # A canceled caller leaves the reservation to the others.
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
