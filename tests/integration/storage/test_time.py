"""The time of the books is the database's from the first moment of a process."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.shop import NobodyThere

from tollhouse.composition.app import open_gateway
from tollhouse.composition.loops import build_loops, build_web_loops
from tollhouse.composition.settings import Settings
from tollhouse.kernel.clock import DatabaseClock
from tollhouse.storage.database import Database, set_clock
from tollhouse.worker.run import ignore_beat

WRONG = datetime(2001, 1, 1, tzinfo=UTC)


async def test_a_clock_is_set_by_the_database(database: Database) -> None:
    """After one response of the database, a wrong clock has the database's time."""
    clock = DatabaseClock()
    clock.observe(WRONG)
    await set_clock(clock, database)
    async with database.acquire() as connection:
        there = await connection.fetchval("select clock_timestamp()")
    assert abs(there - clock.now()) < timedelta(seconds=2)


async def test_a_process_begins_with_the_right_time(database_dsn: str, tmp_path: Path) -> None:
    """Each process sets its clock by the database when it starts, and again and again."""
    settings = Settings(data_dir=tmp_path)
    async with open_gateway(settings, database_dsn, NobodyThere()) as gateway:
        clock = gateway.parts.clock
        for build in (build_loops, build_web_loops):
            clock.observe(WRONG)
            stop = asyncio.Event()
            looping = asyncio.ensure_future(build(gateway, stop)["read time"](ignore_beat))
            async with asyncio.timeout(2):
                while clock.now().year == WRONG.year:  # noqa: ASYNC110 - nothing tells that a clock was set
                    await asyncio.sleep(0.005)
            stop.set()
            await looping
