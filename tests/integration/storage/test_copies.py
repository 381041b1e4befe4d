"""Databases that are handed from one test to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from tests.support.copies import LENT_TIMES_AT_MOST, Copies
from tests.support.webshop import open_webshop

#: All that a database of ours holds, but for the files it is in.
TABLES = "select oid::regclass::text from pg_class where relkind = 'r' and relnamespace::regnamespace::text = any($1)"
CONTENTS = "select coalesce(jsonb_agg(to_jsonb(t) order by t::text), '[]')::text from {} t"
NUMBERS = "select schemaname, sequencename, last_value, start_value from pg_sequences order by 1, 2"
#: What the planner knows of tables. (Of an index it takes the pages from the file, and the rows from the table.)
KNOWN = (
    "select relname, relpages, reltuples, relallvisible from pg_class "
    "where relnamespace::regnamespace::text = any($1) and relkind = 'r' order by 1"
)
SCHEMAS = ["gateway", "simulator"]


@pytest.fixture
def own_copies(postgres_dsn: str, template: str) -> Iterator[Copies]:
    """Copies of the template for one test alone."""
    copies = Copies(postgres_dsn, template)
    yield copies
    copies.close()


async def describe(dsn: str) -> dict[str, Any]:
    """Return all that a test could find in a database."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = sorted(row[0] for row in await connection.fetch(TABLES, SCHEMAS))
        found: dict[str, Any] = {table: await connection.fetchval(CONTENTS.format(table)) for table in tables}
        found["numbers"] = [tuple(row) for row in await connection.fetch(NUMBERS)]
        found["known"] = [tuple(row) for row in await connection.fetch(KNOWN, SCHEMAS)]
        found["statistics"] = await connection.fetchval(
            "select count(*) from pg_stats where schemaname = any($1)", SCHEMAS
        )
        return found
    finally:
        await connection.close()


async def execute(dsn: str, *statements: str) -> None:
    """Run statements on a connection of their own."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def sell(dsn: str) -> None:
    """Fill a good part of the tables."""
    async with open_webshop(dsn) as shop:
        paid = await shop.pay()
        assert paid.status_code == 201
        await shop.token()
        number = paid.json()["payment"]["transactionId"]
        assert (await shop.post(f"/payment/{number}/void", {})).status_code == 201


def test_nothing_of_an_earlier_test_is_left(own_copies: Copies) -> None:
    """A reused database has every row, number and planner statistic of a new one."""
    with own_copies.lend() as dsn:
        new = asyncio.run(describe(dsn))
        asyncio.run(sell(dsn))
        filled = asyncio.run(describe(dsn))
    assert len([name for name in new if filled[name] != new[name]]) > 12
    with own_copies.lend() as again:
        assert again == dsn
        assert asyncio.run(describe(again)) == new


def test_two_at_a_time_are_two(own_copies: Copies) -> None:
    """A database is lent to one at a time."""
    with own_copies.lend() as one, own_copies.lend() as other:
        assert one != other


@pytest.mark.parametrize(
    "statement",
    [
        "alter table gateway.ledger_entry disable trigger ledger_entry_is_final",
        "create table public.more (value int)",
        "drop table gateway.ledger_violation",
        "create schema more",
        "update gateway.ledger_round set rounds = 1",
        "delete from gateway.migration",
        "insert into gateway.merchant (merchant_id, name, ipn_secret) values (1, 'A', ''); analyze gateway.merchant",
        "vacuum gateway.merchant",
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tests'",
    ],
)
def test_altered_database_is_dropped(own_copies: Copies, statement: str) -> None:
    """A database with altered tables, first rows or statistics is not reused."""
    with own_copies.lend() as dsn:
        asyncio.run(execute(dsn, *statement.split("; ")))
    with own_copies.lend() as other:
        assert other != dsn
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        asyncio.run(execute(dsn, "select"))


def test_leftover_connections_are_closed(own_copies: Copies) -> None:
    """A leftover connection of a test, and its locks, do not outlive the test."""

    async def leave_open(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
        connection = await asyncpg.connect(dsn)
        await connection.execute("begin")
        await connection.execute("lock table gateway.payment")
        return connection

    loop = asyncio.new_event_loop()
    with own_copies.lend() as dsn:
        connection = loop.run_until_complete(leave_open(dsn))
    with own_copies.lend() as again:
        assert again == dsn
        with pytest.raises(asyncpg.PostgresConnectionError):
            loop.run_until_complete(connection.execute("select"))
    connection.terminate()
    loop.run_until_complete(asyncio.sleep(0.01))  # the loop closes the socket
    loop.close()


def test_a_copy_is_not_lent_for_ever(own_copies: Copies) -> None:
    """After so many tests a new copy is made, for what was truncated stays on the disk until a database is dropped."""
    lent = []
    for _ in range(LENT_TIMES_AT_MOST + 1):
        with own_copies.lend() as dsn:
            lent.append(dsn)
    assert len(set(lent[:-1])) == 1
    assert lent[-1] != lent[0]
