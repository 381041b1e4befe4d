"""Background tasks that outlive their callers: one for each key, bounded in number, all canceled at close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Generic, TypeVar

import structlog

from tollhouse.kernel.errors import QueueFull

MAX_TASKS = 1_000

Outcome = TypeVar("Outcome")

log = structlog.get_logger()


class KeyedTasks(Generic[Outcome]):
    """Tasks by key. A repeated start returns the running task."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: dict[Hashable, asyncio.Task[Outcome]] = {}

    def start(self, key: Hashable, work: Callable[[], Coroutine[None, None, Outcome]]) -> asyncio.Task[Outcome]:
        """Start the task of a key, or return the running one. Raises QueueFull."""
        task = self._tasks.get(key)
        if task is None:
            if len(self._tasks) >= MAX_TASKS:
                raise QueueFull
            task = self._tasks[key] = asyncio.create_task(work(), name=f"{self._name} {key}")
            task.add_done_callback(lambda done: self._forget(key, done))
        return task

    async def close(self) -> None:
        """Cancel the running tasks and wait for their end."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, key: Hashable, task: asyncio.Task[Outcome]) -> None:
        del self._tasks[key]
        if not task.cancelled() and task.exception() is not None:
            log.error("background_task.failed", task=self._name, exc_info=task.exception())
