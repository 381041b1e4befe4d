"""Errors of tasks without a waiter are logged."""

from __future__ import annotations

import asyncio
import gc

from structlog.testing import capture_logs

from tollhouse.composition.serving import stop_on_signals


async def break_down() -> None:
    """Fail in a task without a waiter."""
    raise ZeroDivisionError


async def test_the_error_of_a_task_that_nobody_holds_is_logged() -> None:
    """A process logs the error of a task that it started and did not keep."""
    stop_on_signals()

    with capture_logs() as logs:
        task = asyncio.create_task(break_down(), name="forgotten")
        await asyncio.wait([task])
        del task
        gc.collect()
    [line] = logs
    assert (line["event"], line["log_level"], line["task"]) == ("task.error_lost", "error", "forgotten")
    assert isinstance(line["exc_info"], ZeroDivisionError)
