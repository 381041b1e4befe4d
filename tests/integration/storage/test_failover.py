"""Two servers and one DSN: the standby is promoted, and everything goes on there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import GATEWAY_MIGRATIONS
from tests.support.cluster import Cluster, open_cluster, wait_until_copied

from tollhouse.kernel.errors import DatabaseUnavailable
from tollhouse.storage.coalesce import Coalescer
from tollhouse.storage.database import Database
from tollhouse.storage.migrate import migrate, pending


@pytest.fixture
async def cluster(data_directory: Path) -> AsyncIterator[Cluster]:
    """A primary and a standby."""
    async with open_cluster(data_directory) as cluster:
        yield cluster


async def write(connection: Any, items: Sequence[int]) -> list[int]:
    """Write numbers, bearing repetition."""
    await connection.execute("insert into public.number select unnest($1::int[]) on conflict do nothing", list(items))
    return list(items)


async def is_standby(database: Database) -> bool:
    """Ask which server it is."""
    async with database.acquire() as connection:
        return bool(await connection.fetchval("select pg_is_in_recovery()"))


@pytest.mark.slow
async def test_the_standby_is_promoted(cluster: Cluster) -> None:
    """Migrations, pools and steps find the server that takes writes, before a fail-over and after; a step is kept."""
    assert await migrate(cluster.dsn, schema="gateway", directory=GATEWAY_MIGRATIONS)
    database = await Database.connect(cluster.dsn, schema="gateway")
    assert not await is_standby(database)
    async with database.acquire() as connection:
        await connection.execute("create table public.number (value int primary key)")
    write_queue = Coalescer("test", write, database, timeout_seconds=60)
    assert await write_queue.submit(1) == 1
    await wait_until_copied(cluster)
    await cluster.primary.stop()
    waiting = asyncio.create_task(write_queue.submit(2))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await cluster.promote()
    async with asyncio.timeout(60):
        assert await waiting == 2
    assert await pending(cluster.dsn, schema="gateway", directory=GATEWAY_MIGRATIONS) == []
    async with database.acquire() as connection:
        assert await connection.fetchval("select array_agg(value order by value) from public.number") == [1, 2]
    await database.close()


@pytest.mark.slow
async def test_a_server_that_turns_read_only_is_left(cluster: Cluster) -> None:
    """When the old server lives on without taking writes, all connections to it are given up at the first 25006."""
    database = await Database.connect(cluster.dsn, schema="public", min_size=4, max_size=4)
    async with database.acquire() as connection:
        await connection.execute("create table public.number (value int primary key)")
    await wait_until_copied(cluster)
    await cluster.promote()
    await cluster.run(cluster.primary, "alter system set default_transaction_read_only = on")
    await cluster.run(cluster.primary, "select pg_reload_conf()")
    await asyncio.sleep(0.3)
    write_queue = Coalescer("test", write, database, timeout_seconds=60)
    async with asyncio.timeout(60):
        assert await write_queue.submit(1) == 1
    places = set()
    for _ in range(8):
        async with database.acquire() as connection:
            places.add(await connection.fetchval("select timeline_id from pg_control_checkpoint()"))
            await connection.execute("insert into public.number values (9) on conflict do nothing")
    await database.close()
    connection = await asyncpg.connect(cluster.standby.owner_dsn)
    assert await connection.fetchval("select count(*) from public.number") == 2
    await connection.close()


async def test_a_server_that_takes_no_writes_is_none(cluster: Cluster) -> None:
    """Without a server that takes writes a connection is refused, unless the DSN says that any will do."""
    await cluster.primary.stop()
    with pytest.raises(DatabaseUnavailable):
        await Database.connect(cluster.dsn, schema="public")
    database = await Database.connect(f"{cluster.dsn}&target_session_attrs=any", schema="public")
    assert await is_standby(database)
    await database.close()


async def test_a_host_that_says_nothing_is_passed_over(empty_dsn: str) -> None:
    """A first host that takes connections and never answers costs a connection its own time-out, and only once."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        own = dict(part.split("=") for part in empty_dsn.partition("?")[2].split("&"))
        name = empty_dsn.partition("?")[0]
        dsn = f"{name}?host=127.0.0.1,{own['host']}&port={port},5432"
        database = await Database.connect(dsn, schema="public", min_size=0, max_size=3)
        async with asyncio.timeout(60):
            await asyncio.gather(*(is_standby(database) for _ in range(3)))
        await database.close()


RAISED = {
    "read_only_sql_transaction": "25006",
    "admin_shutdown": "57P01",
    "statement_name": "26000",
    "disk_full": "53100",
    "connection_failure": "08006",
}


@pytest.mark.parametrize("state", RAISED.values(), ids=RAISED)
async def test_these_errors_are_a_lost_connection(empty_dsn: str, state: str) -> None:
    """Errors that a new connection can fix count as a lost connection, and a step is flushed again."""
    database = await Database.connect(empty_dsn, schema="public")
    left = iter([True])

    async def flush(connection: Any, items: Sequence[int]) -> list[int]:
        if next(left, False):
            await connection.execute(f"do $$ begin raise exception 'gone' using errcode = '{state}'; end $$")
        return list(items)

    assert await Coalescer("test", flush, database).submit(1) == 1
    await database.close()


async def test_a_plan_that_no_longer_fits_is_made_again(empty_dsn: str) -> None:
    """A table that a migration changed while its statement was prepared costs no step."""
    database = await Database.connect(empty_dsn, schema="public", max_size=1)
    async with database.acquire() as connection:
        await connection.execute("create table thing (n int); insert into thing values (1)")

    async def flush(connection: Any, items: Sequence[int]) -> list[int]:
        async with connection.transaction():
            await connection.fetch("select * from thing where n = $1", 1)
        return list(items)

    write_queue = Coalescer("test", flush, database)
    assert await write_queue.submit(1) == 1
    other = await asyncpg.connect(empty_dsn)
    await other.execute("alter table thing add column more text")
    assert await write_queue.submit(2) == 2
    await other.execute("alter table thing alter column n type bigint")
    assert await write_queue.submit(3) == 3
    await other.close()
    await database.close()
