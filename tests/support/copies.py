"""Databases for tests: copies of a template, handed from one test to the next as if they were new.

To copy and drop a database of 500 files takes 30 ms of the processor, to empty the tables that a test has filled a
third of that. A test gets what a new copy would give it: no row, number or statistic of an earlier test, and nobody who
is still connected. Where a copy cannot be made so again, as when its schema was changed, it is dropped instead.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

T = TypeVar("T")

#: Of a template, after its migrations.
PREPARE = Path(__file__).with_suffix(".sql").read_text()

#: What a copy was emptied of stays on the disk until it is dropped.
LENT_TIMES_AT_MOST = 50

CONNECTION_LOST = (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InterfaceError)

#: A connection that a test has closed is gone when the server has heard of it, in a millisecond or two.
LEAVING_SECONDS = 0.1
PAUSE_SECONDS = 0.002

OTHERS = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"


@dataclass(slots=True)
class Copy:
    """A database, and our own connection to it, which makes it new."""

    name: str
    dsn: str
    connection: Connection
    lent_times: int = 0


class Copies:
    """Lends copies of a template, to tests with or without an event loop: it has one of its own."""

    def __init__(self, dsn: str, template: str) -> None:
        self._dsn = dsn
        self._template = template
        self._loop = asyncio.new_event_loop()
        self._numbers = itertools.count(1)
        self._server = self._run(asyncpg.connect(dsn))
        self._free: list[Copy] = []

    @contextmanager
    def lend(self) -> Iterator[str]:
        """Give the DSN of a copy with nothing in it but what the template has, for as long as the block lasts."""
        copy = self._free.pop() if self._free else self._run(self._make())
        copy.lent_times += 1
        try:
            yield copy.dsn
        finally:
            if copy.lent_times < LENT_TIMES_AT_MOST and self._run(_renew(copy)):
                self._free.append(copy)
            else:
                self._run(self._drop(copy))

    def close(self) -> None:
        """Drop what is left. What is lent stays."""
        while self._free:
            self._run(self._drop(self._free.pop()))
        self._run(self._server.close())
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    async def _make(self) -> Copy:
        """Copy the template.

        FILE_COPY took 15 ms of the processor for 160 tables and indexes, the default 30; without fsync its two
        checkpoints cost nothing.
        """
        name = f"copy_{next(self._numbers)}_{id(self)}"
        await self._server.execute(f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY FILE_COPY")
        dsn = self._dsn.replace("@/tollhouse?", f"@/{name}?")
        settings = {"application_name": "tests", "client_min_messages": "warning"}
        return Copy(name, dsn, await asyncpg.connect(dsn, server_settings=settings))

    async def _drop(self, copy: Copy) -> None:
        copy.connection.terminate()
        await self._server.execute(f"DROP DATABASE {copy.name} WITH (FORCE)")


async def _renew(copy: Copy) -> bool:
    """Empty a copy, and say whether it is as good as new."""
    try:
        await _leave_alone(copy.connection)
        return bool(await copy.connection.fetchval("select copies.renew()"))
    except CONNECTION_LOST:  # a test ended all connections of its database
        return False


async def _leave_alone(connection: Connection) -> None:
    """Wait until nobody else is connected, and send away who does not leave: that takes a tenth of a second."""
    for _ in range(round(LEAVING_SECONDS / PAUSE_SECONDS)):
        if not await connection.fetchval(f"select count(*) {OTHERS}"):
            return
        await asyncio.sleep(PAUSE_SECONDS)
    await connection.execute(f"select pg_terminate_backend(pid, 5000) {OTHERS}")
