"""One loop for everything that is leased: lease what there is room for, handle each piece by itself, stop in between.

    look ──> lease (a transaction) ──> handle, each in a task of its own ──> the piece records its outcome as it comes
      ^                                                                  │
      └──────────── woken, or after a pause that grows while idle ───────┘

A piece that breaks is logged with its trace and counted, and concerns no other: its lease brings it back, so whoever
handles it gives it an end. When the loop is told to stop, nothing more is leased; pieces under way have some seconds,
and those that have not ended then are cancelled and given back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import structlog

from tollhouse.kernel.errors import DatabaseUnavailable
from tollhouse.worker.run import Beat, ignore_beat

#: Between two looks while there is work; what comes in meanwhile is taken in one go. A look costs as much as a payment,
#: and in a process that also serves it is paid by the payments.
BUSY_PAUSE_SECONDS = 0.06

#: Between two looks while there is none: from the shortest, growing to the longest. A wake-up ends it.
MIN_PAUSE_SECONDS = 0.02
MAX_PAUSE_SECONDS = 0.2

#: After a look that went wrong.
TROUBLE_PAUSE_SECONDS = 1.0

#: A moment less than the grace of a process, so that what is left can be given back.
DRAIN_SECONDS = 2.5

Piece = TypeVar("Piece")

#: Seconds until the next look, or None if nothing was found.
Look = Callable[[], Awaitable[float | None]]
#: Told the queue and how a piece of it ended.
Count = Callable[[str, Literal["done", "failed"]], None]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class UnderWay(Generic[Piece]):
    """A piece that is being handled, and since when, by the monotonic clock."""

    piece: Piece
    since: float


@dataclass(frozen=True, slots=True)
class Work(Generic[Piece]):
    """The kind of work in a queue.

    `lease` leases what there is room for beside the pieces under way; `handle` handles one piece and records its
    outcome; `release` gives back pieces whose handling was cut off; `pause` is the time until the next look after one
    that found these pieces, `idle_seconds` the longest time between two looks that find nothing.
    """

    name: str
    lease: Callable[[Sequence[UnderWay[Piece]]], Awaitable[Sequence[Piece]]]
    handle: Callable[[Piece], Awaitable[None]]
    release: Callable[[Sequence[Piece]], Awaitable[None]]
    pause: Callable[[Sequence[Piece]], float] = lambda _: BUSY_PAUSE_SECONDS
    idle_seconds: float = MAX_PAUSE_SECONDS


def ignore_count(_queue: str, _outcome: str) -> None:
    """Count nothing."""


class LeasedQueue(Generic[Piece]):
    """Handles leased pieces of one kind of work, many at a time."""

    def __init__(self, work: Work[Piece], *, drain_seconds: float = DRAIN_SECONDS, count: Count = ignore_count) -> None:
        self._work = work
        self._drain_seconds = drain_seconds
        self._count = count
        self._tasks: dict[asyncio.Task[None], UnderWay[Piece]] = {}
        self._ended = asyncio.Event()

    async def run(self, *, stop: asyncio.Event, wake: asyncio.Event | None = None, beat: Beat = ignore_beat) -> None:
        """Handle pieces as they fall due, until `stop` is set. `wake` may be set when there are some."""
        self._ended = wake or self._ended
        try:
            name, idle_seconds = self._work.name, self._work.idle_seconds
            await look_for_work(name, self._look, stop=stop, wake=self._ended, beat=beat, idle_seconds=idle_seconds)
        finally:
            await self._drain()

    async def empty(self, *, stop: asyncio.Event | None = None) -> int:
        """Handle what is due until nothing is, and return how many pieces that were. Raises DatabaseUnavailable."""
        total = 0
        try:
            while stop is None or not stop.is_set():
                found = await self._lease()
                total += len(found)
                if not found and not self._tasks:
                    break
                if not found:
                    await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._drain()
        return total

    async def _look(self) -> float | None:
        found = await self._lease()
        return self._work.pause(found) if found else None

    async def _lease(self) -> Sequence[Piece]:
        found = await self._work.lease(tuple(self._tasks.values()))
        for piece in found:
            task = asyncio.create_task(self._handle(piece), name=self._work.name)
            self._tasks[task] = UnderWay(piece, time.monotonic())
            task.add_done_callback(self._forget)
        return found

    async def _handle(self, piece: Piece) -> None:
        try:
            await self._work.handle(piece)
        except DatabaseUnavailable:
            log.warning("queue.database_unavailable", queue=self._work.name)
            self._count(self._work.name, "failed")
        except Exception:
            log.exception("queue.piece_failed", queue=self._work.name)
            self._count(self._work.name, "failed")
        else:
            self._count(self._work.name, "done")

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._ended.set()

    async def _drain(self) -> None:
        """Wait for the pieces under way, cancel those that do not end, and give them back."""
        if not self._tasks:
            return
        _, pending = await asyncio.wait(self._tasks, timeout=self._drain_seconds)
        left = [self._tasks[task].piece for task in pending]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if left:
            await self._work.release(left)


async def look_for_work(
    name: str,
    look: Look,
    *,
    stop: asyncio.Event,
    wake: asyncio.Event,
    beat: Beat = ignore_beat,
    idle_seconds: float = MAX_PAUSE_SECONDS,
) -> None:
    """Look for work until stopped, less often the longer there is none. Nothing that goes wrong ends it."""
    pause = MIN_PAUSE_SECONDS
    while not stop.is_set():
        wake.clear()
        try:
            next_look = await look()
        except DatabaseUnavailable:
            log.warning("database.connection_lost", loop=name)
            await _sleep(TROUBLE_PAUSE_SECONDS, stop)
            continue
        except Exception:
            log.exception("loop stumbled", loop=name)
            await _sleep(TROUBLE_PAUSE_SECONDS, stop)
            continue
        beat()
        if next_look is None:
            await _sleep(pause, wake)
            pause = min(pause * 1.5, idle_seconds)
        else:
            pause = MIN_PAUSE_SECONDS
            await asyncio.sleep(next_look)


async def _sleep(seconds: float, event: asyncio.Event) -> None:
    """Sleep, or until an event is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
