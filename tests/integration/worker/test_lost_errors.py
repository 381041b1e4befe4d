"""An error that nobody waits for is not lost."""

from __future__ import annotations

import asyncio
import gc

from structlog.testing import capture_logs

from tollhouse.composition.serving import stop_on_signals


async def break_down() -> None:
    """Break in a task that nobody holds."""
    raise ZeroDivisionError


async def test_the_error_of_a_task_that_nobody_holds_is_logged() -> None:
    """A process that begins as all do logs the error of a task that it started and forgot."""
    stop_on_signals()

    with capture_logs() as logs:
        task = asyncio.create_task(break_down(), name="forgotten")
        await asyncio.wait([task])
        del task
        gc.collect()
    [line] = logs
    assert (line["event"], line["log_level"], line["task"]) == ("task.error_lost", "error", "forgotten")
    assert isinstance(line["exc_info"], ZeroDivisionError)
