"""Connections, and what it means when one is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tollhouse.kernel.errors import DatabaseUnavailable
from tollhouse.storage.database import Database, PlainConnection

Enter = Callable[[], AbstractAsyncContextManager[PlainConnection]]


async def numbers(database: Database) -> list[int]:
    """Return what was written."""
    async with database.acquire() as connection:
        return [row["value"] for row in await connection.fetch("select value from written order by value")]


@pytest.fixture
async def table(database: Database) -> None:
    """A table to write into."""
    async with database.acquire() as connection:
        await connection.execute("create table written (value integer)")


@pytest.mark.usefixtures("table")
async def test_a_transaction_commits_at_its_end(database: Database) -> None:
    """Writes in a block are visible to others after the block succeeded, and not before."""
    async with database.transaction() as connection:
        await connection.execute("insert into written values (1)")
        assert await numbers(database) == []
    assert await numbers(database) == [1]


async def write_and_raise(database: Database, error: Exception) -> None:
    """Write inside a transaction, and fail."""
    async with database.transaction() as connection:
        await connection.execute("insert into written values (1)")
        raise error


@pytest.mark.usefixtures("table")
async def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    """A block that raises leaves nothing, and its connection is good for the next one."""
    for error in (KeyError("ours"), asyncpg.UniqueViolationError("theirs")):
        with pytest.raises(type(error)):
            await write_and_raise(database, error)
    assert await numbers(database) == []


@pytest.mark.usefixtures("table")
async def test_statements_outside_of_transactions_commit_one_by_one(database: Database) -> None:
    """Writes before an error stay."""
    async with database.acquire() as connection:
        await connection.execute("insert into written values (1)")
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await connection.execute("no SQL")
    assert await numbers(database) == [1]


@pytest.mark.usefixtures("table")
async def test_canceled_transaction_is_not_reused(database: Database) -> None:
    """A canceled caller leaves no open database transaction to the next one."""
    entered = asyncio.Event()

    async def write(statement: str) -> None:
        async with database.transaction() as connection:
            await connection.execute("insert into written values (1)")
            entered.set()
            await connection.execute(statement)

    for _ in range(10):
        entered.clear()
        writing = asyncio.create_task(write("select pg_sleep(10)"))
        await entered.wait()
        await asyncio.sleep(0.005)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        async with database.acquire() as connection:
            assert await connection.fetchval("select pg_current_xact_id_if_assigned()") is None
            assert not connection.is_in_transaction()
    assert await numbers(database) == []


async def test_a_lost_connection_is_told_as_such(database: Database, database_dsn: str) -> None:
    """A connection that the server ended raises DatabaseUnavailable, and the next one is a fresh one."""
    killer = await asyncpg.connect(database_dsn)

    async def lose(enter: Enter, pause_seconds: float) -> None:
        async with enter() as connection:
            await killer.execute("select pg_terminate_backend($1)", connection.get_server_pid())
            await asyncio.sleep(pause_seconds)
            await connection.execute("select 1")

    for enter in (database.acquire, database.transaction):
        for pause_seconds in (0.0, 0.0, 0.0, 0.02):
            with pytest.raises(DatabaseUnavailable):
                await lose(enter, pause_seconds)
    async with database.acquire() as connection:
        assert await connection.fetchval("select 1") == 1
    await killer.close()


async def test_an_idle_connection_that_was_lost(database: Database, database_dsn: str) -> None:
    """When all idle connections were ended, at most the first to use each hears of it."""
    killer = await asyncpg.connect(database_dsn)
    async with database.acquire() as connection:
        pid = connection.get_server_pid()
    await killer.execute("select pg_terminate_backend($1)", pid)
    await asyncio.sleep(0.05)
    results: list[Any] = []
    for _ in range(2):
        try:
            async with database.acquire() as connection:
                results.append(await connection.fetchval("select 1"))
        except DatabaseUnavailable as error:
            results.append(error)
    assert results[-1] == 1
    await killer.close()


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """A server that is not there raises DatabaseUnavailable at once."""
    with pytest.raises(DatabaseUnavailable):
        await Database.connect(f"postgresql://nobody@/none?host={tmp_path}", schema="gateway")


async def test_a_parameter_that_does_not_fit(database: Database) -> None:
    """A parameter that the driver refuses is no lost connection."""
    with pytest.raises(asyncpg.DataError, match="invalid input"):
        async with database.acquire() as connection:
            await connection.fetchval("select $1::integer", "text")
    async with database.acquire() as connection:
        assert await connection.fetchval("select $1::integer", 1) == 1


async def test_a_closed_database(database_dsn: str) -> None:
    """After closing, a use is told as unavailable."""
    database = await Database.connect(database_dsn, schema="gateway")
    await database.close()
    with pytest.raises(DatabaseUnavailable):
        async with database.acquire():
            pass


async def test_closing_waits_for_nobody_for_ever(database_dsn: str) -> None:
    """A connection that somebody keeps is closed all the same, within seconds."""
    database = await Database.connect(database_dsn, schema="gateway")

    async def keep() -> None:
        async with database.acquire() as connection:
            await connection.execute("select pg_sleep(30)")

    keeping = asyncio.create_task(keep())
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        await database.close()
    with pytest.raises(DatabaseUnavailable):
        await keeping


async def test_sessions_are_set_up(database: Database) -> None:
    """A connection looks into its schema, in UTC, and forgotten transactions are ended."""
    async with database.acquire() as connection:
        for name, value in (
            ("search_path", "gateway"),
            ("timezone", "UTC"),
            ("idle_in_transaction_session_timeout", "30s"),
            ("transaction_isolation", "read committed"),
        ):
            assert await connection.fetchval(f"show {name}") == value
