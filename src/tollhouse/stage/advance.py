"""Advance a merchant's clock from one due time to the next, and do all work that is due at each.

So the events of a year happen in their order, each at its own time. The work is done here by the worker's own
functions, whose leases let both run concurrently. If a limit is reached, the clock stays at the time reached. Work that
other calls of the merchant begin meanwhile, and endpoints that keep failing, do not stop the clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog

from tollhouse.idempotency.running import Running
from tollhouse.kernel.clock import DatabaseClock
from tollhouse.kernel.errors import RequestInProgress, Unavailable
from tollhouse.merchants.clock import (
    LEASE_SECONDS,
    MerchantTime,
    advance_clock,
    lease_clock,
    release_clock,
    select_clock,
)
from tollhouse.stage.clock_tasks import ClockDrivenTask, DueMoment
from tollhouse.storage.database import Database
from tollhouse.wire.render import render_instant

#: Enough for twenty years with one failing callback a day.
MAX_STEPS = 100_000
MAX_SECONDS = 600.0
#: Time that one call waits for failing endpoints; then their callbacks continue in the background.
MAX_FAILING_SECONDS = 30.0
#: Rounds of waiting for all tasks at one time, if they are never idle together.
MAX_ROUNDS = 2

#: Pause between two checks while other processes do the work.
MIN_INTERVAL_SECONDS = 0.002
MAX_INTERVAL_SECONDS = 0.05

ADVANCE_IN_PROGRESS = "Another call is advancing the clock. Wait until it has ended."

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ClockDependencies:
    """Dependencies of advancing clocks."""

    database: Database
    clock: DatabaseClock
    running: Running
    #: Causes precede their effects: if a check in this order finds nothing, nothing is due.
    tasks: Sequence[ClockDrivenTask]
    #: Wakes the loops of this process that number and deliver events.
    wake: Callable[[], None]
    #: Time in which other processes read an advanced clock; 0 if there are none.
    others_learn_seconds: float = 0.0
    max_steps: int = MAX_STEPS
    max_seconds: float = MAX_SECONDS
    max_failing_seconds: float = MAX_FAILING_SECONDS


@dataclass(frozen=True, slots=True)
class AdvanceResult:
    """The clock after a call that advanced it, the distance, and the number of times at which it stopped."""

    reading: MerchantTime
    by: timedelta
    steps: int


@dataclass(frozen=True, slots=True)
class NextDue:
    """A merchant's time, and the next due times, earliest first."""

    reading: MerchantTime
    next: tuple[tuple[str, datetime], ...]


@dataclass(slots=True)
class _Advance:
    """A call that advances a clock, with its lease and its deadline on the monotonic clock."""

    clockwork: ClockDependencies
    merchant_id: int
    lease: UUID
    deadline: float
    #: Remaining time to wait for failing endpoints.
    failing_seconds: float
    renew_at: float = 0.0
    #: The last step did not move the clock.
    has_stayed: bool = False

    async def move(self, until: datetime) -> MerchantTime:
        """Advance the clock, also in this process. Raises RequestInProgress if another call has taken the lease."""
        async with self.clockwork.database.acquire() as connection:
            reading = await advance_clock(connection, self.merchant_id, lease=self.lease, until=until)
        if reading is None:
            raise RequestInProgress(ADVANCE_IN_PROGRESS)
        self.clockwork.clock.observe_offset(self.merchant_id, reading.offset)
        self.renew_at = time.monotonic() + LEASE_SECONDS / 3
        return reading

    async def mark(self) -> DueMoment:
        """Return the work to wait for now."""
        async with self.clockwork.database.acquire() as connection:
            reading = await select_clock(connection, self.merchant_id)
        return _mark(reading, is_patient=self.failing_seconds > 0)

    async def find_busy(self, mark: DueMoment) -> list[ClockDrivenTask]:
        """Return the tasks with work that is due or in progress."""
        return [task for task in self.clockwork.tasks if await task.is_busy(self.merchant_id, mark)]

    async def is_waited_for(self, task: ClockDrivenTask, mark: DueMoment) -> bool:
        """Return whether a task still has work that existed at a time."""
        return await task.is_busy(self.merchant_id, replace(mark, is_patient=self.failing_seconds > 0))

    async def waits_for_failing(self, task: ClockDrivenTask, mark: DueMoment) -> bool:
        """Return whether a task with work waits only for failing endpoints."""
        return not await task.is_busy(self.merchant_id, replace(mark, is_patient=False))


class _LimitReached(Exception):
    """A limit was reached before the goal."""


async def get_next_due(clockwork: ClockDependencies, merchant_id: int) -> NextDue:
    """Return a merchant's time and the next due times."""
    async with clockwork.database.acquire() as connection:
        reading = await select_clock(connection, merchant_id)
    mark = _mark(reading)
    found = [(task.name, await task.next_due(merchant_id, mark)) for task in clockwork.tasks]
    due = [(name, max(at, reading.time)) for name, at in found if at is not None]
    return NextDue(reading, tuple(sorted(due, key=lambda pair: pair[1])))


async def advance(
    clockwork: ClockDependencies, merchant_id: int, choose_goal: Callable[[datetime], datetime]
) -> AdvanceResult:
    """Advance a merchant's clock to a goal chosen by its time. Return when all due work is done.

    Raises the errors of `choose_goal`, RequestInProgress while another call advances the clock, and Unavailable if a
    limit was reached before the goal. Its message has the time reached; a call with the same goal continues from there.
    """
    lease = uuid4()
    async with clockwork.database.acquire() as connection:
        begun = await lease_clock(connection, merchant_id, lease=lease)
    if begun is None:
        raise RequestInProgress(ADVANCE_IN_PROGRESS)
    call = _Advance(
        clockwork, merchant_id, lease, time.monotonic() + clockwork.max_seconds, clockwork.max_failing_seconds
    )
    try:
        return await _advance_to(call, begun, choose_goal(begun.time))
    finally:
        async with clockwork.database.acquire() as connection:
            await release_clock(connection, merchant_id, lease=lease)


async def _advance_to(call: _Advance, begun: MerchantTime, goal: datetime) -> AdvanceResult:
    """Advance to the goal in steps, after the work that was due before."""
    reading, until, steps = begun, begun.time, 0
    try:
        await _finish_due_work(call, until)
        while reading.time < goal:
            if steps >= call.clockwork.max_steps or time.monotonic() >= call.deadline:
                raise _LimitReached
            until = await _choose_next(call, until, goal)
            reading = await call.move(until)
            steps += 1
            await _finish_due_work(call, until)
    except _LimitReached:
        at = render_instant((await call.move(begun.time)).time)
        log.warning("clock.goal_missed", merchant_id=call.merchant_id, steps=steps, at=at)
        raise Unavailable(
            f"The clock came to {at} in {steps} steps, the limit of one call. Repeat the call to continue."
            f' To go on, send {{"until": "{render_instant(goal)}"}}.'
        ) from None
    by = (await call.move(goal)).time - begun.time
    await asyncio.sleep(call.clockwork.others_learn_seconds)
    reading = await call.move(goal)
    log.info("clock.advanced", merchant_id=call.merchant_id, steps=steps, to=render_instant(reading.time))
    return AdvanceResult(reading, by, steps)


async def _choose_next(call: _Advance, after: datetime, goal: datetime) -> datetime:
    """Return the next due time, or the goal if it comes first.

    Work that was due at the previous time and still is cannot be done now, and is no step. Work that fell due since,
    in real time, is done before the clock advances, but only once in a row: other calls may begin such work forever.
    """
    mark = await call.mark()
    found = [await task.next_due(call.merchant_id, mark) for task in call.clockwork.tasks]
    dues = [at for at in found if at is not None and at > after]
    if not call.has_stayed and any(at <= mark.time for at in dues):
        call.has_stayed = True
        return min(goal, mark.time)
    call.has_stayed = False
    return min([goal, *(at for at in dues if at > mark.time)])


async def _finish_due_work(call: _Advance, until: datetime) -> None:
    """Do due work until none is due or in progress. Raises _LimitReached.

    A merchant with other calls in progress is never idle. Then each task is waited for in its order, for the work
    that it had at its turn. So causes and their effects are done, and later work does not stop the clock. Another
    round covers work that leads back to an earlier task.
    """
    under_way: set[asyncio.Task[int]] = set()
    for _ in range(MAX_ROUNDS):
        for task in call.clockwork.tasks:
            if await _finish(call, task, until, under_way):
                return


async def _finish(call: _Advance, task: ClockDrivenTask, until: datetime, under_way: set[asyncio.Task[int]]) -> bool:
    """Wait for the present work of a task, and return whether all tasks are idle. Raises _LimitReached.

    A run may take long with work of other merchants. So runs continue in the background, and only checks are waited
    for. Errors of a run are raised here.
    """
    pause, mark = MIN_INTERVAL_SECONDS, await call.mark()
    while True:
        began_at = time.monotonic()
        busy = await call.find_busy(await call.mark())
        if not busy or task not in busy or not await call.is_waited_for(task, mark):
            return not busy
        if began_at >= call.deadline:
            raise _LimitReached
        if began_at >= call.renew_at:
            await call.move(until)
        waits_for_failing = await call.waits_for_failing(task, mark)
        pause = await _run_due(call, busy, under_way, pause)
        if waits_for_failing:
            call.failing_seconds -= time.monotonic() - began_at


async def _run_due(
    call: _Advance, busy: Sequence[ClockDrivenTask], under_way: set[asyncio.Task[int]], pause: float
) -> float:
    """Start due work, wait briefly for it, and return the next pause if other processes do all of it."""
    under_way |= {call.clockwork.running.start(f"due: {task.name}", task.run) for task in busy}
    done, _ = await asyncio.wait(under_way, timeout=MAX_INTERVAL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    under_way -= done
    call.clockwork.wake()
    if sum(task.result() for task in done):
        return MIN_INTERVAL_SECONDS
    await asyncio.sleep(pause)
    return min(2 * pause, MAX_INTERVAL_SECONDS)


def _mark(reading: MerchantTime, *, is_patient: bool = True) -> DueMoment:
    """Return the work due at the present time."""
    return DueMoment(reading.time, reading.time - reading.offset, is_patient)
