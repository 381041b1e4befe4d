"""Work that waits for others ends soon after its process is told to."""

from __future__ import annotations

import asyncio

import pytest

from tollhouse.worker.run import end_with


async def test_work_that_hangs_is_cancelled() -> None:
    """When the process is told to stop, work has a moment left and is then ended."""
    stop, begun, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    running = asyncio.ensure_future(end_with(stop, hang, drain_seconds=0.01)())
    await begun.wait()
    assert not running.done()
    stop.set()
    await running
    assert ended.is_set()


async def test_work_that_ends_in_time_is_not_cut_short() -> None:
    """What is nearly done is done."""
    stop, go, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go.wait()
        done.set()

    running = asyncio.ensure_future(end_with(stop, work, drain_seconds=10)())
    stop.set()
    await asyncio.sleep(0)
    go.set()
    await running
    assert done.is_set()


async def test_an_error_is_not_swallowed() -> None:
    """What goes wrong with the work reaches whoever keeps the loop alive."""

    async def break_down() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await end_with(asyncio.Event(), break_down, drain_seconds=1)()
