"""Pools of their own for payments, loops and readers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from structlog.testing import capture_logs

from tollhouse.kernel.errors import DatabaseUnavailable, StatementTooSlow
from tollhouse.storage.database import Database
from tollhouse.storage.pools import Pools, PoolSizes


@asynccontextmanager
async def open_pools(dsn: str, **sizes: float) -> AsyncIterator[Pools]:
    """Open pools with small sizes."""
    own = {"payments": 3, "worker": 2, "readers": 2, "reader_timeout_seconds": 0.5} | sizes
    pools = await Pools.connect(dsn, schema="public", sizes=PoolSizes(**own))  # type: ignore[arg-type]  # by name
    try:
        yield pools
    finally:
        await pools.close()


async def sleep_in(database: Database, seconds: float) -> None:
    """Keep a connection busy."""
    async with database.acquire() as connection:
        await connection.execute("select pg_sleep($1)", seconds)


async def test_the_server_ends_a_search_that_takes_too_long(empty_dsn: str) -> None:
    """A statement of a reader is ended by the server, which then works on nothing of it, and the reader is told why."""
    async with open_pools(empty_dsn) as pools:
        with pytest.raises(StatementTooSlow, match="Narrow it"):
            await sleep_in(pools.readers, 30)
        async with pools.payments.acquire() as connection:
            assert not await connection.fetchval(
                "select count(*) from pg_stat_activity where query like '%pg_sleep%' and state = 'active'"
                " and pid <> pg_backend_pid() and datname = current_database()"
            )
        await sleep_in(pools.readers, 0)


async def test_only_readers_have_a_time_out_on_the_server(empty_dsn: str) -> None:
    """A durable step is never ended by the server in the middle."""
    async with open_pools(empty_dsn) as pools:
        found = []
        for pool in (pools.payments, pools.worker, pools.readers):
            async with pool.acquire() as connection:
                found.append(await connection.fetchval("show statement_timeout"))
    assert found == ["0", "0", "500ms"]


@pytest.mark.parametrize("busy", ["readers", "worker"])
async def test_busy_readers_and_loops_hold_up_no_payment(empty_dsn: str, busy: str) -> None:
    """While more slow statements wait than their pool has connections, the payments' pool has one at once."""
    async with open_pools(empty_dsn, reader_timeout_seconds=60) as pools:
        waiting = [asyncio.create_task(sleep_in(getattr(pools, busy), 1.0)) for _ in range(10)]
        await asyncio.sleep(0.2)
        for _ in range(20):
            await sleep_in(pools.payments, 0)
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.fixture
async def limited_dsn(empty_dsn: str) -> AsyncIterator[str]:
    """The DSN of a role that may have five connections."""
    server = await asyncpg.connect(empty_dsn)
    await server.execute("create role limited login connection limit 5")
    yield empty_dsn.replace("//tollhouse@", "//limited@", 1)
    await server.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'limited'",
    )
    await server.execute("drop role limited")
    await server.close()


async def test_a_full_server_leaves_payments_alive(limited_dsn: str) -> None:
    """When the server has no connection left, payments go on with theirs, others are told, and one line is logged."""
    async with open_pools(limited_dsn, payments=6, readers=4) as pools:
        with capture_logs() as logs:
            readers = [asyncio.create_task(sleep_in(pools.readers, 0.3)) for _ in range(4)]
            await asyncio.sleep(0.1)
            # More at once than there are connections: they take turns on those that are open.
            await asyncio.gather(*(sleep_in(pools.payments, 0.01) for _ in range(40)))
            results = await asyncio.gather(*readers, return_exceptions=True)
    assert all(result is None or isinstance(result, DatabaseUnavailable) for result in results)
    assert {entry["event"] for entry in logs} == {"database.connections_exhausted"}
    assert len(logs) <= 2
    assert not any("exc_info" in entry for entry in logs)


async def test_a_full_server_is_told_in_bounded_time(limited_dsn: str) -> None:
    """Without a free connection the caller gets DatabaseUnavailable in bounded time."""
    taken = [await asyncpg.connect(limited_dsn) for _ in range(5)]
    try:
        with pytest.raises(DatabaseUnavailable):
            async with asyncio.timeout(30):
                await Database.connect(limited_dsn, schema="public")
    finally:
        for connection in taken:
            await connection.close()
