"""Run loops until they are stopped. A crashed loop restarts after a pause.

Every error that reaches a loop is logged with its trace. A loop checks `stop` between two pieces of work; running work
then has the rest of the process's grace time to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog

from tollhouse.kernel.errors import DatabaseUnavailable

#: After a crash of a loop; doubled each time until a round succeeds.
MIN_RESTART_INTERVAL_SECONDS = 1.0
MAX_RESTART_INTERVAL_SECONDS = 30.0
#: The default grace time of running work after the loops are stopped.
GRACE_TIMEOUT_SECONDS = 3.0

#: The heartbeat, called by a loop after each successful round.
Beat = Callable[[], None]
Loop = Callable[[Beat], Awaitable[None]]

log = structlog.get_logger()


def ignore_beat(*_: str) -> None:
    """Ignore a heartbeat."""


async def run_loops(
    loops: Mapping[str, Loop],
    stop: asyncio.Event,
    *,
    beat: Callable[[str], None] = ignore_beat,
    seconds_left: Callable[[], float] = lambda: GRACE_TIMEOUT_SECONDS,
) -> None:
    """Run loops concurrently until `stop` is set. Those that have not ended after the grace time are canceled.

    Their leases expire, and other workers take over.
    """
    tasks = {
        asyncio.create_task(_restart_after_errors(name, loop, stop, beat), name=name) for name, loop in loops.items()
    }
    stopping = asyncio.create_task(stop.wait())
    try:
        under_way = set(tasks)
        while under_way and not stop.is_set():
            await asyncio.wait({*under_way, stopping}, return_when=asyncio.FIRST_COMPLETED)
            under_way = {task for task in under_way if not task.done()}
        if under_way:
            _, under_way = await asyncio.wait(under_way, timeout=seconds_left())
        if under_way:
            log.warning("loops.cut_off", loops=sorted(task.get_name() for task in under_way))
    finally:
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)


async def run_every(
    seconds: float,
    work: Callable[[], Awaitable[object]],
    stop: asyncio.Event,
    beat: Beat = ignore_beat,
    *,
    backlog: int | None = None,
) -> None:
    """Run a function repeatedly, with a pause between runs, until `stop` is set.

    If the function returns a count of `backlog` or more, there is more to do, and the next run follows at once.
    """
    while not stop.is_set():
        count = await work()
        beat()
        if backlog is not None and isinstance(count, int) and count >= backlog:
            await asyncio.sleep(0)
            continue
        await sleep_or_stop(seconds, stop)


def every(
    seconds: float, work: Callable[[], Awaitable[object]], stop: asyncio.Event, *, backlog: int | None = None
) -> Loop:
    """Build a loop that runs a function as `run_every` does."""
    return lambda beat: run_every(seconds, work, stop, beat, backlog=backlog)


async def sleep_or_stop(seconds: float, stop: asyncio.Event) -> None:
    """Sleep until the time is over or `stop` is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), timeout=seconds)


async def _restart_after_errors(name: str, loop: Loop, stop: asyncio.Event, beat: Callable[[str], None]) -> None:
    pause = MIN_RESTART_INTERVAL_SECONDS

    def note_round() -> None:
        nonlocal pause
        pause = MIN_RESTART_INTERVAL_SECONDS
        beat(name)

    while not stop.is_set():
        try:
            await loop(note_round)
        except DatabaseUnavailable:
            pause = MIN_RESTART_INTERVAL_SECONDS
            log.warning("loop.database_unavailable", loop=name)
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            log.exception("loop.crashed", loop=name)
        except Exception:
            log.exception("loop.crashed", loop=name)
        else:
            if stop.is_set():
                return
            log.error("loop.ended_early", loop=name)
        await sleep_or_stop(pause, stop)
        pause = min(2 * pause, MAX_RESTART_INTERVAL_SECONDS)


def _is_cancelled() -> bool:
    """Return whether this task was canceled; else the error came from a task that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
