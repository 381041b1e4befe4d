"""Loops continue after any error, send heartbeats, and end soon after they are stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from tollhouse.idempotency.running import Running
from tollhouse.worker.run import Beat, Loop, every, run_loops

#: Only a hang exceeds it.
TIMEOUT_SECONDS = 10.0


@asynccontextmanager
async def running(loop: Loop, *, beat: Callable[[str], None] = print) -> AsyncIterator[asyncio.Event]:
    """Run one loop beside the block."""
    stop = asyncio.Event()
    task = asyncio.create_task(run_loops({"loop": loop}, stop, beat=beat, seconds_left=lambda: 0.1))
    yield stop
    stop.set()
    await asyncio.wait_for(task, TIMEOUT_SECONDS)


async def cancel_inside() -> None:
    """Wait for a task that is canceled."""
    inner = asyncio.create_task(asyncio.Event().wait())
    inner.cancel()
    await inner


async def fail() -> None:
    """Fail with a defect."""
    raise ZeroDivisionError


async def end() -> None:
    """End early, as no loop should."""


@pytest.mark.parametrize(
    ("accident", "event"), [(fail, "loop.crashed"), (cancel_inside, "loop.crashed"), (end, "loop.ended_early")]
)
async def test_a_loop_that_broke_goes_on(accident: Callable[[], Awaitable[None]], event: str) -> None:
    """A loop that crashed, was canceled from within or ended by itself is logged as an error and restarted."""
    rounds, again = 0, asyncio.Event()

    async def loop(_: Beat) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            await accident()
            return
        again.set()
        await asyncio.Event().wait()

    with capture_logs() as logs:
        async with running(loop):
            await asyncio.wait_for(again.wait(), TIMEOUT_SECONDS)
    assert next((line["event"], line["log_level"], line["loop"]) for line in logs) == (event, "error", "loop")


async def test_a_loop_beats_after_each_round() -> None:
    """Each successful round sends a heartbeat."""
    beats: asyncio.Queue[str] = asyncio.Queue()
    stop = asyncio.Event()

    async def work() -> None: ...

    task = asyncio.create_task(run_loops({"loop": every(0.0, work, stop)}, stop, beat=beats.put_nowait))
    assert [await asyncio.wait_for(beats.get(), TIMEOUT_SECONDS) for _ in range(3)] == ["loop"] * 3
    stop.set()
    await asyncio.wait_for(task, TIMEOUT_SECONDS)


async def test_a_loop_with_a_backlog_stops_between_two_batches() -> None:
    """A full batch is followed by the next without a pause, unless the process stops."""
    batches = 0
    stop = asyncio.Event()

    async def work() -> int:
        nonlocal batches
        batches += 1
        if batches == 5:
            stop.set()
        return 50

    await asyncio.wait_for(run_loops({"loop": every(3_600, work, stop, backlog=50)}, stop), TIMEOUT_SECONDS)
    assert batches == 5


async def test_work_that_hangs_is_cut_off() -> None:
    """A loop that does not end within the grace time is canceled, and the log says which."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def loop(_: Beat) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with capture_logs() as logs:
        async with running(loop):
            await begun.wait()
    assert ended.is_set()
    assert [line["loops"] for line in logs if line["event"] == "loops.cut_off"] == [["loop"]]


async def test_detached_work_that_breaks_is_an_error_with_its_trace() -> None:
    """A failing payment task without a waiter logs its trace."""
    work = Running()
    with capture_logs() as logs:
        task = work.start("conclude", fail)
        await asyncio.wait([task])
        await asyncio.sleep(0)
    [line] = [line for line in logs if line["event"] == "work.failed"]
    assert (line["log_level"], line["work"]) == ("error", "conclude")
    assert isinstance(line["exc_info"], ZeroDivisionError)
