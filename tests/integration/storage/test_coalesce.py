"""Many callers, one write: what goes out together, and what becomes of it when something goes wrong."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.support.proxy import open_lossy_way

from tollhouse.kernel.errors import DatabaseUnavailable, QueueFull
from tollhouse.storage.coalesce import DEADLOCK_TRIES, Coalescer
from tollhouse.storage.database import Database
from tollhouse.storage.embedded import EmbeddedPostgres

Batch = Sequence[int]
Before = Callable[[Any, Batch], Awaitable[None]]


@pytest.fixture
async def database(empty_dsn: str) -> AsyncIterator[Database]:
    """A database with one table, in which a number may stand once and must not be negative."""
    database = await Database.connect(empty_dsn, schema="public")
    await prepare(database)
    yield database
    await database.close()


async def prepare(database: Database) -> None:
    """Make the table."""
    async with database.acquire() as connection:
        await connection.execute(
            "create table number (value smallint primary key check (value >= 0), tries int default 1)"
        )


class Flush:
    """Writes numbers, bears repetition, and notes its batches."""

    def __init__(self, *, before: Before | None = None) -> None:
        self.batches: list[list[int]] = []
        self.running = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self._before = before

    async def __call__(self, connection: Any, items: Sequence[int]) -> list[int]:
        """Write a batch."""
        self.batches.append(list(items))
        self.running.set()
        await self.may_finish.wait()
        async with connection.transaction():
            if self._before is not None:
                await self._before(connection, items)
            await connection.execute(
                """
                insert into number (value) select unnest($1::int[])
                on conflict (value) do update set tries = number.tries + 1
                """,
                list(items),
            )
        return [item * 10 for item in items]


async def stored(database: Database) -> list[int]:
    """Return the numbers that are there."""
    async with database.acquire() as connection:
        return [row["value"] for row in await connection.fetch("select value from number order by value")]


async def test_a_single_item_leaves_at_once(database: Database) -> None:
    """When nothing is under way an item is a batch of its own."""
    flush = Flush()
    write_queue = Coalescer("test", flush, database)
    assert await write_queue.submit(1) == 10
    assert await write_queue.submit(2) == 20
    assert flush.batches == [[1], [2]]


async def test_a_batch_forms_while_a_flush_is_under_way(database: Database) -> None:
    """Items that arrive during a flush are flushed together, in order, and each caller gets its own result."""
    flush = Flush()
    flush.may_finish.clear()
    write_queue = Coalescer("test", flush, database)
    first = asyncio.create_task(write_queue.submit(0))
    await flush.running.wait()
    rest = [asyncio.create_task(write_queue.submit(item)) for item in range(1, 31)]
    await asyncio.sleep(0)
    assert write_queue.depth == 30
    flush.may_finish.set()
    assert await asyncio.gather(first, *rest) == [item * 10 for item in range(31)]
    assert flush.batches == [[0], list(range(1, 31))]


async def test_queue_may_gather_items(database: Database) -> None:
    """If nobody waits for the result, a batch waits a moment for more items before it is written."""
    flush = Flush()
    write_queue = Coalescer("test", flush, database, gather_seconds=0.2)
    first = asyncio.create_task(write_queue.submit(1))
    for _ in range(10):
        await asyncio.sleep(0)
    assert write_queue.depth == 1
    assert (await write_queue.submit(2), await first) == (20, 10)
    assert flush.batches == [[1, 2]]


async def test_a_full_batch_waits_for_no_more(database: Database) -> None:
    """A lane that gathers writes at once what fills a batch."""
    write_queue = Coalescer("test", Flush(), database, batch_limit=2, gather_seconds=3600.0)
    assert [*await asyncio.gather(write_queue.submit(1), write_queue.submit(2))] == [10, 20]


async def test_batches_are_bounded(database: Database) -> None:
    """A batch holds no more items than its limit."""
    flush = Flush()
    write_queue = Coalescer("test", flush, database, batch_limit=10)
    await asyncio.gather(*(write_queue.submit(item) for item in range(35)))
    assert max(map(len, flush.batches)) == 10
    assert await stored(database) == list(range(35))


async def test_the_queue_is_bounded(database: Database) -> None:
    """Past its bound the queue takes no more, at once and without effect; later it does again."""
    flush = Flush()
    flush.may_finish.clear()
    write_queue = Coalescer("test", flush, database, queue_limit=5)
    first = asyncio.create_task(write_queue.submit(0))
    await flush.running.wait()
    waiting = [asyncio.create_task(write_queue.submit(item)) for item in range(1, 6)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await write_queue.submit(6)
    flush.may_finish.set()
    await asyncio.gather(first, *waiting)
    assert await write_queue.submit(7) == 70
    assert await stored(database) == [0, 1, 2, 3, 4, 5, 7]


@pytest.mark.parametrize("bad", [-1, 40_000, 2**40], ids=["constraint", "data", "driver"])
async def test_a_bad_item_fails_alone(database: Database, bad: int) -> None:
    """An item that a constraint, the server or the driver refuses fails; those that went out with it are written."""
    write_queue = Coalescer("test", Flush(), database)
    results = await asyncio.gather(*(write_queue.submit(item) for item in (1, bad, 2)), return_exceptions=True)
    assert [results[0], results[2]] == [10, 20]
    assert isinstance(results[1], (asyncpg.PostgresError, ValueError))
    assert await stored(database) == [1, 2]
    assert await write_queue.submit(3) == 30


RAISES = {
    # What a PL/pgSQL function raises of its own accord, and its relatives.
    "raise_exception": "do $$ begin raise exception 'no' using errcode = 'P0001'; end $$",
    "no_data_found": "do $$ begin raise exception 'no' using errcode = 'P0002'; end $$",
    "assert_failure": "do $$ begin assert false; end $$",
    # What a row can cause: a value that is too long for an index, more rows than one, a type that does not fit.
    "program_limit": "do $$ begin raise exception 'no' using errcode = '54000'; end $$",
    "cardinality": "select (select 1 from generate_series(1, 2))",
    "undefined": "select * from no_such_table",
    "corruption": "do $$ begin raise exception 'no' using errcode = 'XX001'; end $$",
}


@pytest.mark.parametrize("statement", RAISES.values(), ids=RAISES)
@pytest.mark.parametrize("place", [0, 7, 15])
async def test_any_error_of_the_server_fails_only_the_item_that_causes_it(
    database: Database, statement: str, place: int
) -> None:
    """If the server rejects one item, the others of its batch are written."""

    async def before(connection: Any, items: Batch) -> None:
        if place in items:
            await connection.execute(statement)

    flush = Flush(before=before)
    write_queue = Coalescer("test", flush, database)
    results = await asyncio.gather(*(write_queue.submit(item) for item in range(16)), return_exceptions=True)
    assert [item for item, result in enumerate(results) if isinstance(result, Exception)] == [place]
    assert isinstance(results[place], asyncpg.PostgresError)
    assert await stored(database) == [item for item in range(16) if item != place]
    assert len(flush.batches) <= 2 * 5


async def test_a_defect_fails_only_the_item_that_causes_it(database: Database) -> None:
    """A defect of ours that one item causes is told to its caller; the others are written, and the lane goes on."""

    async def before(_: Any, items: Batch) -> None:
        if 1 in items:
            raise KeyError("a bug")

    write_queue = Coalescer("test", Flush(before=before), database)
    results = await asyncio.gather(*(write_queue.submit(item) for item in range(3)), return_exceptions=True)
    assert [results[0], type(results[1]), results[2]] == [0, KeyError, 20]
    assert await stored(database) == [0, 2]
    assert await write_queue.submit(3) == 30


async def test_exhausted_server_is_retried(database: Database) -> None:
    """A server without disk, memory or connections is unavailable: the whole batch is flushed again."""
    states = iter(["53100", "53200", "53300"])

    async def before(connection: Any, _: Batch) -> None:
        for state in states:
            await connection.execute(f"do $$ begin raise exception 'short' using errcode = '{state}'; end $$")

    flush = Flush(before=before)
    write_queue = Coalescer("test", flush, database)
    assert await asyncio.gather(*(write_queue.submit(item) for item in range(3))) == [0, 10, 20]
    assert flush.batches == [[0, 1, 2]] * 4


async def test_an_item_that_waited_too_long_is_refused_at_once(database: Database) -> None:
    """Past its deadline an item that is in no flush yet is refused while the flush before it still runs.

    It leaves nothing behind; an item that came later keeps its own deadline, and what is in a flush has none.
    """
    flush = Flush()
    flush.may_finish.clear()
    write_queue = Coalescer("test", flush, database, wait_seconds=0.3)
    first = asyncio.create_task(write_queue.submit(0))
    await flush.running.wait()
    early = [asyncio.create_task(write_queue.submit(item)) for item in range(1, 200)]
    await asyncio.sleep(0.2)
    late = asyncio.create_task(write_queue.submit(200))
    async with asyncio.timeout(10):
        results = await asyncio.gather(*early, return_exceptions=True)
    assert {type(result) for result in results} == {QueueFull}
    assert not first.done()
    assert write_queue.depth == (0 if late.done() else 1)
    flush.may_finish.set()
    assert await first == 0
    await asyncio.gather(late, return_exceptions=True)
    assert set(await stored(database)) <= {0, 200}
    assert await write_queue.submit(300) == 3000


async def test_an_item_of_a_lane_without_a_bound_is_kept(database: Database) -> None:
    """An item of a lane without a bound waits for as long as the flush before it takes."""
    flush = Flush()
    flush.may_finish.clear()
    write_queue = Coalescer("test", flush, database)
    first = asyncio.create_task(write_queue.submit(0))
    await flush.running.wait()
    waiting = asyncio.create_task(write_queue.submit(1))
    await asyncio.sleep(0.3)
    assert write_queue.depth == 1
    flush.may_finish.set()
    assert (await first, await waiting) == (0, 10)


async def test_a_flush_that_miscounts_leaves_nobody_waiting(database: Database) -> None:
    """A flush that returns too few results is a defect that every caller hears of."""

    async def short(_: Any, items: Batch) -> list[int]:
        return list(items)[1:]

    write_queue: Coalescer[int, int] = Coalescer("test", short, database)
    async with asyncio.timeout(2):
        results = await asyncio.gather(*(write_queue.submit(item) for item in range(3)), return_exceptions=True)
    assert all(isinstance(result, Exception) for result in results)


@pytest.mark.parametrize("kind", ["deadlock_detected", "serialization_failure"])
async def test_a_deadlock_is_tried_again(database: Database, kind: str) -> None:
    """A batch that lost a deadlock goes out again, a bounded number of times."""
    left = itertools.count(DEADLOCK_TRIES - 1, -1)

    async def before(connection: Any, _: Batch) -> None:
        if next(left) > 0:
            await connection.execute(f"do $$ begin raise {kind}; end $$")

    flush = Flush(before=before)
    write_queue = Coalescer("test", flush, database)
    assert list(await asyncio.gather(write_queue.submit(1), write_queue.submit(2))) == [10, 20]
    assert flush.batches == [[1, 2] for _ in range(DEADLOCK_TRIES)]


async def test_a_deadlock_without_end_is_given_up(database: Database) -> None:
    """A batch that loses every time is told so, and the lane goes on."""

    async def before(connection: Any, items: Batch) -> None:
        if 1 in items:
            await connection.execute("do $$ begin raise deadlock_detected; end $$")

    write_queue = Coalescer("test", Flush(before=before), database)
    with pytest.raises(asyncpg.DeadlockDetectedError):
        await write_queue.submit(1)
    assert await write_queue.submit(2) == 20


async def test_two_lanes_that_deadlock_for_real(database: Database) -> None:
    """Two processes that lock in opposite order both get through."""
    async with database.acquire() as connection:
        await connection.execute("insert into number values (1), (2)")
    met = asyncio.Barrier(2)

    def crossing() -> Before:
        tries = itertools.count()

        async def before(connection: Any, items: Batch) -> None:
            await connection.execute("set local deadlock_timeout = '20ms'")
            await connection.execute("update number set tries = tries + 1 where value = $1", items[0])
            if next(tries) == 0:
                await met.wait()
            await connection.execute("update number set tries = tries + 1 where value = $1", 3 - items[0])

        return before

    lanes = [Coalescer(f"lane {n}", Flush(before=crossing()), database) for n in range(2)]
    assert list(await asyncio.gather(lanes[0].submit(1), lanes[1].submit(2))) == [10, 20]


async def test_a_caller_that_goes_away(database: Database) -> None:
    """A caller that is cancelled does not take its item back, and disturbs nobody."""
    flush = Flush()
    flush.may_finish.clear()
    write_queue = Coalescer("test", flush, database)
    callers = [asyncio.create_task(write_queue.submit(item)) for item in range(3)]
    await flush.running.wait()
    late = [asyncio.create_task(write_queue.submit(item)) for item in range(3, 6)]
    await asyncio.sleep(0)
    callers[1].cancel()
    late[1].cancel()
    flush.may_finish.set()
    results = await asyncio.gather(*callers, *late, return_exceptions=True)
    assert [result for result in results if isinstance(result, int)] == [0, 20, 30, 50]
    assert await stored(database) == list(range(6))


# Lost connections


async def test_a_killed_backend_is_replaced(database: Database, empty_dsn: str) -> None:
    """When the server ends the connection before the commit, the same batch goes out again on another one."""
    killer = await asyncpg.connect(empty_dsn)
    kills = iter(range(2))

    async def before(connection: Any, _: Batch) -> None:
        for _kill in kills:
            await connection.execute("insert into number values (99)")
            await killer.execute("select pg_terminate_backend($1)", connection.get_server_pid())
            return

    flush = Flush(before=before)
    write_queue = Coalescer("test", flush, database)
    assert await asyncio.gather(*(write_queue.submit(item) for item in range(3))) == [0, 10, 20]
    assert flush.batches == [[0, 1, 2]] * 3
    assert await stored(database) == [0, 1, 2]
    await killer.close()


async def test_a_commit_whose_answer_was_lost(database: Database, empty_dsn: str, session_directory: Path) -> None:
    """When nobody knows whether the commit went through, the same batch goes out again and finds its own rows."""
    async with open_lossy_way(empty_dsn, session_directory) as (way, dsn):
        there = await Database.connect(dsn, schema="public")
        flush = Flush()
        write_queue = Coalescer("test", flush, there)
        way.losing = 1
        assert await asyncio.gather(*(write_queue.submit(item) for item in range(3))) == [0, 10, 20]
        await there.close()
    assert (way.lost, flush.batches) == (1, [[0, 1, 2]] * 2)
    async with database.acquire() as connection:
        rows = await connection.fetch("select value, tries from number order by value")
    assert [row["tries"] for row in rows] == [2, 2, 2]


async def test_patience_with_a_database_that_is_away(data_directory: Path) -> None:
    """While the server is stopped callers hear so in bounded time; when it is back the same lane goes on."""
    server = EmbeddedPostgres(data_directory, durable=False)
    database = await Database.connect(await server.start(), schema="public")
    await prepare(database)
    write_queue = Coalescer("test", Flush(), database, timeout_seconds=0.25)
    assert await write_queue.submit(1) == 10
    await server.stop()
    async with asyncio.timeout(3):
        results = await asyncio.gather(*(write_queue.submit(item) for item in (2, 3)), return_exceptions=True)
    assert [type(result) for result in results] == [DatabaseUnavailable] * 2
    patient = Coalescer("patient", Flush(), database, timeout_seconds=30)
    waiting = asyncio.create_task(patient.submit(4))
    await asyncio.sleep(0.15)
    assert not waiting.done()
    await server.start()
    assert await waiting == 40
    assert await write_queue.submit(5) == 50
    assert await stored(database) == [1, 4, 5]
    await database.close()
    await server.stop()
