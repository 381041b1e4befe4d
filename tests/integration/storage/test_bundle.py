"""Several statements as one: all of them are written or none, in the order in which they came."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tollhouse.kernel.errors import InternalError
from tollhouse.storage.bundle import Bundle, Overtaken
from tollhouse.storage.database import Database

#: Moves a number from 1 to 2 where it is still there.
LEADING = """
with moved as (update seen set value = $1 where value = $2 returning value)
select moved.value from demand_v1((select count(*) from moved) = $3) as checked left join moved on true
"""
NOTE = "insert into note (value, text) values ($1, $2);"
#: A part with expressions of its own, which uses a parameter twice.
DOUBLE = "with given as (select $1::int as value) insert into note (value, text) select value + $1, $2 from given"


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    """A database that knows `demand`, with two tables and a number in one of them."""
    database = await Database.connect(database_dsn, schema="gateway")
    async with database.acquire() as connection:
        await connection.execute("create table seen (value int)")
        await connection.execute("create table note (number int generated always as identity, value int, text text)")
        await connection.execute("insert into seen values (1)")
    yield database
    await database.close()


async def stored(database: Database) -> list[tuple[int, str]]:
    """Return what was noted, in the order in which it was."""
    async with database.acquire() as connection:
        return [(row["value"], row["text"]) for row in await connection.fetch("select * from note order by number")]


async def send(database: Database, *parts: tuple[Any, ...], expected: int = 1) -> list[Any]:
    """Send parts with the leading statement, which expects to find so many numbers."""
    async with database.acquire() as connection:
        bundle = Bundle(connection)
        for part in parts:
            await bundle.execute(*part)
        return await bundle.fetch(LEADING, 2, 1, expected)


async def test_all_parts_are_written_with_the_leading_statement(database: Database) -> None:
    """Each part has its own parameters; the rows are those of the leading statement."""
    rows = await send(database, (NOTE, 5, "a"), (DOUBLE, 4, "b"), (NOTE, 7, "c"))
    assert [row["value"] for row in rows] == [2]
    assert await stored(database) == [(5, "a"), (8, "b"), (7, "c")]


async def test_nothing_but_the_leading_statement(database: Database) -> None:
    """An empty bundle is its leading statement."""
    assert [row["value"] for row in await send(database)] == [2]


@pytest.mark.parametrize("expected", [0, 2])
async def test_a_demand_that_is_not_met_takes_all_back(database: Database, expected: int) -> None:
    """Where less or more was found than demanded, nothing is written, and the connection is good for the next."""
    with pytest.raises(Overtaken):
        await send(database, (NOTE, 5, "a"), expected=expected)
    assert await stored(database) == []
    assert [row["value"] for row in await send(database, (NOTE, 6, "b"))] == [2]
    assert await stored(database) == [(6, "b")]


async def test_a_demand_of_nothing_is_looked_at_too(database: Database) -> None:
    """Also where the leading statement finds no row at all."""
    async with database.acquire() as connection:
        await connection.execute("delete from seen")
    with pytest.raises(Overtaken):
        await send(database, (NOTE, 5, "a"))
    assert await stored(database) == []


async def test_an_error_of_a_part_takes_all_back(database: Database) -> None:
    """It comes as what it is."""
    with pytest.raises(asyncpg.DataError):
        await send(database, ("insert into note (value) values (1 / $1::int)", 0))
    async with database.acquire() as connection:
        assert await connection.fetchval("select value from seen") == 1


async def test_a_part_cannot_read(database: Database) -> None:
    """What it would read is not there before all is sent."""
    async with database.acquire() as connection:
        with pytest.raises(InternalError):
            await Bundle(connection).fetchval("select 1")
