"""Moving a merchant's clock: from one due instant to the next, and each time until all is quiet.

So what happens in a year happens in its order, each thing at its own time, as it would if one waited for it. Nothing
here depends on a worker's polling: what is due is done right here, by the worker's own functions, whose leases let both
work side by side. If there is no end of it within bounds, the clock stays where it came to. What a merchant's other
calls begin meanwhile, and endpoints that fail for long, do not hold its clock up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import structlog

from tollhouse.kernel.errors import RequestInProgress, Unavailable
from tollhouse.merchants.clock import (
    LEASE_SECONDS,
    MerchantTime,
    advance_clock,
    lease_clock,
    release_clock,
    select_clock,
)
from tollhouse.stage.clock_tasks import DueMoment
from tollhouse.wire.render import render_instant

if TYPE_CHECKING:
    from tollhouse.idempotency.running import Running
    from tollhouse.kernel.clock import DatabaseClock
    from tollhouse.stage.clock_tasks import ClockDrivenTask
    from tollhouse.storage.database import Database

#: Twenty years of a callback a day that nobody acknowledges are as many.
MAX_STEPS = 100_000
MAX_SECONDS = 600.0
#: Endpoints that fail are waited for so long in a call; after that their callbacks go on beside it.
MAX_FAILING_SECONDS = 30.0
#: How often the kinds are waited for at one instant, where they are never quiet all at once.
MAX_ROUNDS = 2

#: Between two looks while others are at it.
MIN_PAUSE_SECONDS = 0.002
MAX_PAUSE_SECONDS = 0.05

OTHERS_ARE_AT_IT = "The clock is being advanced by another call; wait for that to end."

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Clockwork:
    """What moving clocks takes."""

    database: Database
    clock: DatabaseClock
    running: Running
    #: In the order in which one leads to another: who finds an earlier one quiet, and then a later one, missed nothing.
    fallers: Sequence[ClockDrivenTask]
    #: Nudges the loops of this process that number and deliver.
    wake: Callable[[], None]
    #: How long other processes take to learn of an offset; 0 where this is the only one.
    others_learn_seconds: float = 0.0
    most_steps: int = MAX_STEPS
    most_seconds: float = MAX_SECONDS
    most_failing_seconds: float = MAX_FAILING_SECONDS


@dataclass(frozen=True, slots=True)
class AdvanceResult:
    """How a merchant's clock stands after a call that moved it, by how much, and at how many instants it stopped."""

    reading: MerchantTime
    by: timedelta
    steps: int


@dataclass(frozen=True, slots=True)
class NextDue:
    """A merchant's time, and what falls due next, the earliest first."""

    reading: MerchantTime
    next: tuple[tuple[str, datetime], ...]


@dataclass(slots=True)
class _Drive:
    """One call that moves a clock: whose, with which lease, and when it gives up, on the monotonic clock."""

    clockwork: Clockwork
    merchant_id: int
    lease: UUID
    give_up_at: float
    #: How long endpoints that fail are still waited for, in all.
    failing_seconds: float
    renew_at: float = 0.0
    #: The last step did not move the clock.
    has_stayed: bool = False

    async def move(self, until: datetime) -> MerchantTime:
        """Move the clock, and let this process know. Raises RequestInProgress when another call took the lease over."""
        async with self.clockwork.database.acquire() as connection:
            reading = await advance_clock(connection, self.merchant_id, lease=self.lease, until=until)
        if reading is None:
            raise RequestInProgress(OTHERS_ARE_AT_IT)
        self.clockwork.clock.observe_offset(self.merchant_id, reading.offset)
        self.renew_at = time.monotonic() + LEASE_SECONDS / 3
        return reading

    async def mark(self) -> DueMoment:
        """Return what there is to wait for now."""
        async with self.clockwork.database.acquire() as connection:
            reading = await select_clock(connection, self.merchant_id)
        return _mark(reading, is_patient=self.failing_seconds > 0)

    async def find_busy(self, mark: DueMoment) -> list[ClockDrivenTask]:
        """Return the kinds of which something is due or under way."""
        return [faller for faller in self.clockwork.fallers if await faller.is_busy(self.merchant_id, mark)]

    async def is_waited_for(self, faller: ClockDrivenTask, mark: DueMoment) -> bool:
        """Tell whether a kind has work that was there at a mark."""
        return await faller.is_busy(self.merchant_id, replace(mark, is_patient=self.failing_seconds > 0))

    async def waits_for_failing(self, faller: ClockDrivenTask, mark: DueMoment) -> bool:
        """Tell whether a kind, which has work, is waited for because of endpoints that fail and nothing else."""
        return not await faller.is_busy(self.merchant_id, replace(mark, is_patient=False))


class _OutOfPatience(Exception):
    """A bound was met before the goal."""


async def look_ahead(clockwork: Clockwork, merchant_id: int) -> NextDue:
    """Return a merchant's time and what falls due next."""
    async with clockwork.database.acquire() as connection:
        reading = await select_clock(connection, merchant_id)
    mark = _mark(reading)
    found = [(faller.name, await faller.next_due(merchant_id, mark)) for faller in clockwork.fallers]
    due = [(name, max(at, reading.time)) for name, at in found if at is not None]
    return NextDue(reading, tuple(sorted(due, key=lambda pair: pair[1])))


async def advance(clockwork: Clockwork, merchant_id: int, choose_goal: Callable[[datetime], datetime]) -> AdvanceResult:
    """Move a merchant's clock to a goal that is chosen by its time, and return when all is done that fell due.

    Raises what `choose_goal` raises, RequestInProgress while another call moves the clock, and Unavailable when a bound
    was met before the goal; the message says how far it came, and a call to the same goal goes on from there.
    """
    lease = uuid4()
    async with clockwork.database.acquire() as connection:
        begun = await lease_clock(connection, merchant_id, lease=lease)
    if begun is None:
        raise RequestInProgress(OTHERS_ARE_AT_IT)
    drive = _Drive(
        clockwork, merchant_id, lease, time.monotonic() + clockwork.most_seconds, clockwork.most_failing_seconds
    )
    try:
        return await _drive_to(drive, begun, choose_goal(begun.time))
    finally:
        async with clockwork.database.acquire() as connection:
            await release_clock(connection, merchant_id, lease=lease)


async def _drive_to(drive: _Drive, begun: MerchantTime, goal: datetime) -> AdvanceResult:
    """Step to the goal; what was due before the first step comes first."""
    reading, until, steps = begun, begun.time, 0
    try:
        await _until_quiet(drive, until)
        while reading.time < goal:
            if steps >= drive.clockwork.most_steps or time.monotonic() >= drive.give_up_at:
                raise _OutOfPatience
            until = await _choose_next(drive, until, goal)
            reading = await drive.move(until)
            steps += 1
            await _until_quiet(drive, until)
    except _OutOfPatience:
        at = render_instant((await drive.move(begun.time)).time)
        log.warning("clock.goal_missed", merchant_id=drive.merchant_id, steps=steps, at=at)
        raise Unavailable(
            f"The clock came to {at} in {steps} steps, and there is more to do than one call may take."
            f' To go on, send {{"until": "{render_instant(goal)}"}}.'
        ) from None
    by = (await drive.move(goal)).time - begun.time
    await asyncio.sleep(drive.clockwork.others_learn_seconds)
    reading = await drive.move(goal)
    log.info("clock.advanced", merchant_id=drive.merchant_id, steps=steps, to=render_instant(reading.time))
    return AdvanceResult(reading, by, steps)


async def _choose_next(drive: _Drive, after: datetime, goal: datetime) -> datetime:
    """Return the next instant at which something falls due, or the goal if that comes first.

    What was due at the instant before, and is so still, cannot be done now: it is no step. What fell due since, as real
    time goes by, is done before the clock moves on, but only once in a row: other calls may begin such things for ever.
    """
    mark = await drive.mark()
    found = [await faller.next_due(drive.merchant_id, mark) for faller in drive.clockwork.fallers]
    dues = [at for at in found if at is not None and at > after]
    if not drive.has_stayed and any(at <= mark.time for at in dues):
        drive.has_stayed = True
        return min(goal, mark.time)
    drive.has_stayed = False
    return min([goal, *(at for at in dues if at > mark.time)])


async def _until_quiet(drive: _Drive, until: datetime) -> None:
    """Do what is due until nothing is, and nobody is at anything. Raises _OutOfPatience.

    A merchant whose other calls go on meanwhile is never quiet. Then each kind is waited for in its order, as far as it
    had work when its turn came: so causes and what they lead to are done, and what comes later holds no clock up. What
    leads back to an earlier kind is met by another round.
    """
    under_way: set[asyncio.Task[int]] = set()
    for _ in range(MAX_ROUNDS):
        for faller in drive.clockwork.fallers:
            if await _finish(drive, faller, until, under_way):
                return


async def _finish(drive: _Drive, faller: ClockDrivenTask, until: datetime, under_way: set[asyncio.Task[int]]) -> bool:
    """Wait for the work of a kind that is there now, and return whether all kinds are quiet. Raises _OutOfPatience.

    What one run takes on may be another merchant's and last; so runs go on by themselves, and only looks are waited
    for. What goes wrong in a run is raised here.
    """
    pause, mark = MIN_PAUSE_SECONDS, await drive.mark()
    while True:
        began_at = time.monotonic()
        busy = await drive.find_busy(await drive.mark())
        if not busy or faller not in busy or not await drive.is_waited_for(faller, mark):
            return not busy
        if began_at >= drive.give_up_at:
            raise _OutOfPatience
        if began_at >= drive.renew_at:
            await drive.move(until)
        waits_for_failing = await drive.waits_for_failing(faller, mark)
        pause = await _run_due(drive, busy, under_way, pause)
        if waits_for_failing:
            drive.failing_seconds -= time.monotonic() - began_at


async def _run_due(
    drive: _Drive, busy: Sequence[ClockDrivenTask], under_way: set[asyncio.Task[int]], pause: float
) -> float:
    """Have done what is due, wait a moment for it, and return how long to wait where all is in other hands."""
    under_way |= {drive.clockwork.running.start(f"due: {faller.name}", faller.run) for faller in busy}
    done, _ = await asyncio.wait(under_way, timeout=MAX_PAUSE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    under_way -= done
    drive.clockwork.wake()
    if sum(task.result() for task in done):
        return MIN_PAUSE_SECONDS
    await asyncio.sleep(pause)
    return min(2 * pause, MAX_PAUSE_SECONDS)


def _mark(reading: MerchantTime, *, is_patient: bool = True) -> DueMoment:
    """Return the mark of a moment."""
    return DueMoment(reading.time, reading.time - reading.offset, is_patient)
