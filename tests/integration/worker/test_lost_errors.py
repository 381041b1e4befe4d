"""An error that nobody waits for is not lost."""

from __future__ import annotations

import asyncio
import gc

from structlog.testing import capture_logs

from tollhouse.composition.serving import report_lost_error


async def break_down() -> None:
    """Break in a task that nobody holds."""
    raise ZeroDivisionError


async def test_the_error_of_a_task_that_nobody_holds_is_logged() -> None:
    """A task that was started and forgotten leaves its error in the log."""
    asyncio.get_running_loop().set_exception_handler(report_lost_error)
    with capture_logs() as logs:
        task = asyncio.create_task(break_down(), name="forgotten")
        await asyncio.wait([task])
        del task
        gc.collect()
    [line] = logs
    assert (line["event"], line["log_level"], line["task"]) == ("task.error_lost", "error", "forgotten")
    assert isinstance(line["exc_info"], ZeroDivisionError)
