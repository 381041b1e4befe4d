"""Moving a clock, whatever it is that falls due: one instant after the other, and until all is quiet."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.callbacks import insert_merchants

from tollhouse.idempotency.running import Running
from tollhouse.kernel.clock import DatabaseClock
from tollhouse.kernel.errors import InternalError, RequestInProgress, Unavailable
from tollhouse.merchants.clock import select_clock
from tollhouse.stage.advance import ClockDependencies, advance, get_next_due
from tollhouse.stage.clock_tasks import ClockDrivenTask, DueMoment
from tollhouse.storage.database import Database

MERCHANT = 1
DAY = timedelta(days=1)


@dataclass
class Chores:
    """Things that fall due for one merchant, done by whoever calls; each may lead to another that is due at once."""

    database: Database
    due: list[datetime] = field(default_factory=list)
    #: When each was done, in the merchant's time.
    done: list[datetime] = field(default_factory=list)
    leads_to: Chores | None = None
    #: How often a run finds them in somebody else's hands.
    held: int = 0
    runs: int = 0
    #: They are callbacks to an endpoint that fails, and takes its time.
    fails: bool = False
    #: Somebody brings another as soon as one is done.
    comes_again: bool = False
    fault: Exception | None = None

    async def next_due(self, merchant_id: int, mark: DueMoment) -> datetime | None:
        """Return the earliest."""
        del merchant_id, mark
        return min(self.due, default=None)

    async def is_busy(self, merchant_id: int, mark: DueMoment) -> bool:
        """Tell whether any was due at a mark, of an endpoint that fails only where it is waited for."""
        del merchant_id
        return (mark.is_patient or not self.fails) and any(at <= mark.time for at in self.due)

    async def run(self) -> int:
        """Do what is due."""
        self.runs += 1
        if self.fault is not None:
            raise self.fault
        if self.held:
            self.held -= 1
            return 0
        async with self.database.acquire() as connection:
            now = (await select_clock(connection, MERCHANT)).time
        ripe = [at for at in self.due if at <= now]
        for at in ripe:
            self.due.remove(at)
            self.done.append(now)
            if self.comes_again:
                self.due.append(now + timedelta(microseconds=1))
            if self.leads_to is not None:
                self.leads_to.due.append(now)
        return len(ripe)

    def as_faller(self, name: str) -> ClockDrivenTask:
        """Offer them to who moves the clock."""
        return ClockDrivenTask(name, self.next_due, self.is_busy, self.run)


@pytest.fixture
async def start(database: Database) -> datetime:
    """Make the merchant, and return its time."""
    await insert_merchants(database, [MERCHANT])
    async with database.acquire() as connection:
        return (await select_clock(connection, MERCHANT)).time


def build(database: Database, *chores: Chores, **bounds: Any) -> ClockDependencies:
    """Put together what moves the clock."""
    tasks = [each.as_faller(f"chore {n}") for n, each in enumerate(chores)]
    return ClockDependencies(database, DatabaseClock(), Running(), tasks, wake=lambda: None, **bounds)


def by(days: float) -> Any:
    """Return what chooses a goal so many days later."""
    return lambda now: now + timedelta(days=days)


async def test_each_thing_happens_at_its_time(database: Database, start: datetime) -> None:
    """Things that fall due are done one after the other, each just when it falls due, with what they lead to."""
    letters = Chores(database)
    rent = Chores(database, [start + n * DAY for n in (3, 1, 2)], leads_to=letters)
    clockwork = build(database, rent, letters)
    moved = await advance(clockwork, MERCHANT, by(10))
    for n, (at, followed) in enumerate(zip(rent.done, letters.done, strict=True), start=1):
        assert timedelta() <= at - (start + n * DAY) < timedelta(minutes=1)
        assert timedelta() <= followed - at < timedelta(minutes=1)
    assert moved.steps >= 4
    assert timedelta() <= moved.reading.time - (start + 10 * DAY) < timedelta(minutes=1)
    assert clockwork.clock.offset_of(MERCHANT) == moved.reading.offset


async def test_what_is_not_yet_due_is_left(database: Database, start: datetime) -> None:
    """What falls due after the goal is not done, and the outlook names it."""
    rent = Chores(database, [start + 5 * DAY])
    clockwork = build(database, rent)
    await advance(clockwork, MERCHANT, by(4))
    assert (rent.done, rent.runs) == ([], 0)
    assert (await get_next_due(clockwork, MERCHANT)).next == (("chore 0", start + 5 * DAY),)


async def test_what_was_due_before_comes_first(database: Database, start: datetime) -> None:
    """What is due already is done before the clock moves."""
    rent = Chores(database, [start - DAY])
    await advance(build(database, rent), MERCHANT, by(4))
    assert rent.done[0] - start < timedelta(minutes=1)


async def test_what_others_are_at_is_waited_for(database: Database, start: datetime) -> None:
    """The clock stands while something is in somebody else's hands."""
    rent = Chores(database, [start + DAY], held=5)
    moved = await advance(build(database, rent), MERCHANT, by(2))
    assert (rent.runs, moved.steps) == (6, 2)
    assert rent.done[0] - start < DAY + timedelta(minutes=1)


async def test_a_run_that_lasts_holds_nobody_up(database: Database, start: datetime) -> None:
    """A run may hang at another merchant's: the next look starts another one."""
    hanging = asyncio.Event()
    rent = Chores(database, [start + DAY])

    async def hang_first() -> int:
        if rent.runs == 0:
            rent.runs += 1
            await hanging.wait()
        return await rent.run()

    faller = replace(rent.as_faller("rent"), run=hang_first)
    clockwork = replace(build(database), tasks=[faller])
    await asyncio.wait_for(advance(clockwork, MERCHANT, by(2)), timeout=10)
    assert len(rent.done) == 1
    hanging.set()
    assert await clockwork.running.drain(seconds=5) == 0


async def test_what_others_begin_meanwhile_holds_no_clock_up(database: Database, start: datetime) -> None:
    """A merchant whose other calls always have something under way is never quiet; its clock is moved all the same."""
    letters = Chores(database)
    rent = Chores(database, [start + n * DAY for n in range(1, 31)], leads_to=letters)
    calls = Chores(database, [start], comes_again=True)
    moved = await asyncio.wait_for(advance(build(database, rent, calls, letters), MERCHANT, by(60)), timeout=60)
    assert len(rent.done) == len(letters.done) == 30
    assert timedelta() <= moved.reading.time - (start + 60 * DAY) < timedelta(minutes=1)
    for n, at in enumerate(rent.done, start=1):
        assert timedelta() <= at - (start + n * DAY) < timedelta(minutes=1)


async def test_endpoints_that_fail_hold_no_clock_up_for_long(database: Database, start: datetime) -> None:
    """Callbacks to an endpoint that hangs are waited for a while in all, and then no more; all else is done."""
    rent = Chores(database, [start + n * DAY for n in range(1, 31)])
    dead = Chores(database, [start + n * DAY for n in range(1, 31)], fails=True, held=10**9)
    clockwork = build(database, rent, dead, max_failing_seconds=0.5)
    await asyncio.wait_for(advance(clockwork, MERCHANT, by(60)), timeout=60)
    assert (len(rent.done), len(dead.done)) == (30, 0)


async def test_other_work_is_not_counted_as_waiting_for_endpoints_that_fail(
    database: Database, start: datetime
) -> None:
    """However long other work takes, endpoints that fail are waited for as long as ever."""
    rent = Chores(database, [start + n * DAY for n in range(1, 21)], held=40)
    failing = Chores(database, [start + 30 * DAY], fails=True, held=2)
    clockwork = build(database, rent, failing, max_failing_seconds=1.0)
    await asyncio.wait_for(advance(clockwork, MERCHANT, by(40)), timeout=60)
    assert (len(rent.done), len(failing.done)) == (20, 1)


async def test_what_cannot_be_done_is_no_step(database: Database, start: datetime) -> None:
    """What is due and waits for something else, as renewals of a disabled merchant do, is no step of the clock."""
    rent = Chores(database, [start - DAY])
    faller = replace(rent.as_faller("rent"), is_busy=never)
    moved = await advance(replace(build(database), tasks=[faller]), MERCHANT, by(3))
    assert moved.steps == 1


async def never(merchant_id: int, mark: DueMoment) -> bool:
    """Say that nothing can be done."""
    del merchant_id, mark
    return False


@pytest.mark.parametrize("bounds", [{"max_steps": 2}, {"max_seconds": 0.2}])
async def test_bounds(database: Database, start: datetime, bounds: dict[str, Any]) -> None:
    """Out of steps or of time, the clock stays where it came to, and says where and how to go on; then it does."""
    held = 10**9 if "max_seconds" in bounds else 0
    rent = Chores(database, [start + DAY, start + 2 * DAY, start + 3 * DAY], held=held)
    clockwork = build(database, rent, **bounds)
    with pytest.raises(Unavailable) as refused:
        await advance(clockwork, MERCHANT, by(10))
    came_to, goal = re.findall(r"\d{4}-[\dT:.-]+Z", str(refused.value))
    reached = 1 if held else 2
    assert abs(datetime.fromisoformat(came_to) - (start + reached * DAY)) < timedelta(minutes=1)
    assert len(rent.done) == (0 if held else 2)
    rent.held = 0
    moved = await advance(build(database, rent), MERCHANT, lambda _: datetime.fromisoformat(goal))
    assert len(rent.done) == 3
    assert timedelta() <= moved.reading.time - (start + 10 * DAY) < timedelta(minutes=1)


@pytest.mark.usefixtures("start")
async def test_a_fault_ends_the_call_and_gives_the_clock_back(database: Database, start: datetime) -> None:
    """What goes wrong in a run is raised; the clock may be moved again, and was not moved past what went wrong."""
    rent = Chores(database, [start + DAY], fault=InternalError())
    with pytest.raises(InternalError):
        await advance(build(database, rent), MERCHANT, by(10))
    rent.fault = None
    moved = await advance(build(database, rent), MERCHANT, by(0))
    assert len(rent.done) == 1
    assert moved.reading.time - start < DAY + timedelta(minutes=1)


async def test_a_clock_that_was_taken_over(database: Database, start: datetime) -> None:
    """Whoever lost the lease moves the clock no further."""
    rent = Chores(database, [start + DAY, start + 2 * DAY])

    async def lose_lease() -> int:
        async with database.acquire() as connection:
            await connection.execute("update merchant set clock_lease = gen_random_uuid()")
        return await rent.run()

    faller = replace(rent.as_faller("rent"), run=lose_lease)
    with pytest.raises(RequestInProgress):
        await advance(replace(build(database), tasks=[faller]), MERCHANT, by(10))
    assert len(rent.done) == 1
    with pytest.raises(RequestInProgress):
        await advance(build(database), MERCHANT, by(10))


async def test_who_comes_second(database: Database, start: datetime) -> None:
    """While one call moves the clock a second one is refused at once, and does not disturb the first."""
    rent, seconds = Chores(database, [start + DAY]), build(database)

    async def try_meanwhile() -> int:
        with pytest.raises(RequestInProgress):
            await advance(seconds, MERCHANT, by(1))
        return await rent.run()

    faller = replace(rent.as_faller("rent"), run=try_meanwhile)
    moved = await advance(replace(build(database), tasks=[faller]), MERCHANT, by(2))
    assert (len(rent.done), moved.steps) == (1, 2)
    await advance(seconds, MERCHANT, by(1))


@pytest.mark.usefixtures("start")
async def test_the_goal_is_chosen_by_the_merchants_time(database: Database) -> None:
    """What cannot be a goal moves nothing, and the next call goes."""
    clockwork = build(database)

    def refuse(_: datetime) -> datetime:
        raise InternalError

    with pytest.raises(InternalError):
        await advance(clockwork, MERCHANT, refuse)
    await advance(clockwork, MERCHANT, by(1))
    later = await advance(clockwork, MERCHANT, by(1))
    assert timedelta(hours=47) < later.reading.offset <= 2 * DAY
