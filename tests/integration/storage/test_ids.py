"""Ids on the wire: their form, and that they repeat after nothing."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from tests.support.callbacks import fetch, insert_events, insert_merchants, select_event_ids

from tollhouse.ipn.number import number_batch, skip_after_restore
from tollhouse.storage.database import Database
from tollhouse.storage.ids import ID_STEP, reserve_ids, update_installation

FIRST = 10**15
#: Numbers up to here are exact as a double, as JavaScript and PHP on 32 bits read them.
EXACT = 2**53
#: 2026-01-01 in Unix time.
EPOCH = 1_767_225_600


async def reserve(database: Database, size: int = 1) -> int:
    """Reserve a block in a transaction of its own."""
    async with database.acquire() as connection:
        return await reserve_ids(connection, "object", size)


async def least_number(database: Database) -> int:
    """Return 10^4 times the seconds since 2026, by the database."""
    [row] = await fetch(database, "select extract(epoch from clock_timestamp()) as now")
    return int((row["now"] - EPOCH) * 10_000)


async def test_an_id_is_time_counter_and_installation(database: Database) -> None:
    """An id is 10^15 + 100 n + installation, n at least 10^4 times the seconds since 2026, and exact as a double."""
    [row] = await fetch(database, "select number from installation")
    least = await least_number(database)
    first = await reserve(database)
    assert FIRST + ID_STEP * least <= first < EXACT
    assert first % ID_STEP == row["number"]
    assert len(str(first)) == 16


async def test_blocks_of_concurrent_processes_do_not_overlap(database: Database) -> None:
    """Each of many who reserve at once, blocks of different sizes, gets numbers that nobody else gets."""
    sizes = [1 + place % 7 * 150 for place in range(120)]
    firsts = await asyncio.gather(*(reserve(database, size) for size in sizes))
    blocks = sorted(zip(firsts, sizes, strict=True))
    for (first, size), (following, _) in itertools.pairwise(blocks):
        assert first + size * ID_STEP <= following


@pytest.mark.parametrize("lost", [1, 1000, 5000])
async def test_ids_after_a_restore_are_higher_than_all_before(database: Database, lost: int) -> None:
    """A database whose counter was put back gives out ids above all those it has forgotten."""
    await reserve(database, 3)
    [backup] = await fetch(database, "select next_number from id_counter where kind = 'object'")
    forgotten = await reserve(database, lost)
    # What was reserved is in use until later than the restore; more than 10,000 a second are not given out for long.
    await asyncio.sleep(lost / 10_000)
    async with database.acquire() as connection:
        await connection.execute("update id_counter set next_number = $1", backup["next_number"])
    assert await reserve(database) >= forgotten + lost * ID_STEP


async def test_a_clock_that_steps_back_repeats_nothing(database: Database) -> None:
    """While the counter is there it never goes back, whatever the clock of the server says."""
    async with database.acquire() as connection:
        ahead = await least_number(database) + 3_600 * 10_000
        await reserve(database)
        await connection.execute("update id_counter set next_number = $1", ahead)
    firsts = [await reserve(database, 10) for _ in range(3)]
    assert [(first - FIRST) // ID_STEP for first in firsts] == [ahead, ahead + 10, ahead + 20]


async def test_installations_share_no_id(database: Database) -> None:
    """The installation's two digits end every id, so two databases that count alike share none."""
    endings = []
    for number in (0, 7, 99):
        async with database.acquire() as connection:
            await update_installation(connection, number)
        endings.append(await reserve(database) % ID_STEP)
    assert endings == [0, 7, 99]


async def test_restored_skips_event_numbers_and_ids(database: Database) -> None:
    """After `tollhouse restored` the numbers of every merchant go on after the next multiple of 10^9."""
    await insert_merchants(database, (1, 2, 3))
    await insert_events(database, ["", ""], merchant_id=1)
    await number_batch(database)
    async with database.acquire() as connection:
        await connection.execute("insert into event_counter values (2, 2999999999)")
    before = await reserve(database)
    async with database.transaction() as connection:
        assert await skip_after_restore(connection) == 3
    for merchant_id in (1, 2, 3):
        await insert_events(database, [""], merchant_id=merchant_id)
    await number_batch(database)
    newest = await fetch(
        database, "select max(sequence) as newest from event_number group by merchant_id order by merchant_id"
    )
    assert [row["newest"] for row in newest] == [10**9 + 1, 3 * 10**9 + 1, 10**9 + 1]
    assert await reserve(database) - before >= 3_600 * 10_000 * ID_STEP


async def test_an_event_gets_its_lasting_id_with_its_number(database: Database) -> None:
    """Event ids have the form of all ids and the order of the numbers, and are not given before those."""
    await insert_merchants(database, (1,))
    provisional = await insert_events(database, [""] * 5)
    assert max(provisional) < FIRST
    await number_batch(database)
    lasting = await select_event_ids(database)
    assert sorted(lasting) == lasting
    assert min(lasting) >= FIRST
    assert len({event_id % ID_STEP for event_id in lasting}) == 1
