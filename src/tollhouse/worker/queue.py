"""Run one loop for each kind of leased work: lease rows, handle each in a task of its own, stop in between.

    poll ──> lease (a transaction) ──> handle, each in a task of its own ──> the piece records its own outcome
      ^                                                                  │
      └──────────── after a rest; then woken, or after a pause that grows while idle ───────┘

A piece that fails is logged with its trace and counted, without an effect on others. It returns when its lease expires,
so its handler must bound the tries. When the loop stops, nothing more is leased; running pieces have some seconds, and
those that have not ended then are canceled and released.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

import structlog

from tollhouse.kernel.errors import DatabaseUnavailable, Rejection
from tollhouse.worker.run import Beat, ignore_beat

#: After each poll a loop rests for a multiple of the duration of the poll, within these limits. Work that arrives
#: meanwhile is leased together, and in a process that also serves payments these get the processor.
REST_FACTOR = 2.0
MIN_REST_INTERVAL_SECONDS = 0.02
MAX_REST_INTERVAL_SECONDS = 1.0

#: Between two polls without work: growing from the minimum to the maximum. A wake-up ends it.
MIN_POLL_INTERVAL_SECONDS = 0.02
MAX_POLL_INTERVAL_SECONDS = 0.1

#: After a failed poll.
ERROR_INTERVAL_SECONDS = 1.0

#: Less than the grace time of a process, so that pieces can be released.
DRAIN_TIMEOUT_SECONDS = 2.5

Piece = TypeVar("Piece")
Leased_co = TypeVar("Leased_co", covariant=True)

#: Returns whether there was work.
Poll = Callable[[], Awaitable[bool]]
#: Called with the name of the queue and the result of a piece.
Count = Callable[[str, Literal["done", "failed"]], None]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RunningPiece(Generic[Piece]):
    """A running piece with its start on the monotonic clock."""

    piece: Piece
    since: float


class Lease(Protocol[Leased_co]):
    """A lease of up to `limit` pieces."""

    def __call__(self, *, limit: int) -> Awaitable[Sequence[Leased_co]]:
        """Lease pieces, fewer if fewer are due."""


async def release_nothing(_pieces: Sequence[object]) -> None:
    """Keep the pieces leased: other workers lease them after these leases expire."""


def describe_nothing(_piece: object) -> Mapping[str, object]:
    """Add nothing to log lines."""
    return {}


@dataclass(frozen=True, slots=True)
class Work(Generic[Piece]):
    """The work of a queue.

    `lease` leases pieces beside the running ones; `handle` handles one piece and records its outcome; `release`
    releases pieces whose handling was canceled; `describe` identifies a piece in log lines; `idle_seconds` is the
    longest interval between two polls without work. If `rests` is false, a free slot is filled at once.
    """

    name: str
    lease: Callable[[Sequence[RunningPiece[Piece]]], Awaitable[Sequence[Piece]]]
    handle: Callable[[Piece], Awaitable[None]]
    release: Callable[[Sequence[Piece]], Awaitable[None]] = release_nothing
    describe: Callable[[Piece], Mapping[str, object]] = describe_nothing
    idle_seconds: float = MAX_POLL_INTERVAL_SECONDS
    rests: bool = True


def lease_up_to(
    max_pieces: int, lease: Lease[Piece]
) -> Callable[[Sequence[RunningPiece[Piece]]], Awaitable[Sequence[Piece]]]:
    """Build a lease of as many pieces as make `max_pieces` together with the running ones."""

    async def lease_free(under_way: Sequence[RunningPiece[Piece]]) -> Sequence[Piece]:
        limit = max_pieces - len(under_way)
        return await lease(limit=limit) if limit > 0 else ()

    return lease_free


def ignore_count(_queue: str, _outcome: str) -> None:
    """Count nothing."""


class LeasedQueue(Generic[Piece]):
    """A loop over leased pieces of one kind of work, many at a time."""

    def __init__(
        self, work: Work[Piece], *, drain_seconds: float = DRAIN_TIMEOUT_SECONDS, count: Count = ignore_count
    ) -> None:
        self._work = work
        self._drain_seconds = drain_seconds
        self._count = count
        self._tasks: dict[asyncio.Task[None], RunningPiece[Piece]] = {}
        self._ended = asyncio.Event()

    async def run(self, *, stop: asyncio.Event, wake: asyncio.Event | None = None, beat: Beat = ignore_beat) -> None:
        """Handle pieces as they fall due, until `stop` is set. Set `wake` when there are some."""
        work = self._work
        try:
            await poll(
                work.name,
                self._step,
                stop=stop,
                wake=self._ended,
                urgent=wake,
                beat=beat,
                idle_seconds=work.idle_seconds,
                rests=work.rests,
            )
        finally:
            await self._drain()

    async def empty(self, *, stop: asyncio.Event | None = None) -> int:
        """Handle all due pieces, and return their number. Raises DatabaseUnavailable."""
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

    async def _step(self) -> bool:
        return bool(await self._lease())

    async def _lease(self) -> Sequence[Piece]:
        found = await self._work.lease(tuple(self._tasks.values()))
        for piece in found:
            task = asyncio.create_task(self._handle(piece), name=self._work.name)
            self._tasks[task] = RunningPiece(piece, time.monotonic())
            task.add_done_callback(self._forget)
        return found

    async def _handle(self, piece: Piece) -> None:
        """Handle a piece. A rejection means that it cannot be done now; any other error is a defect."""
        try:
            await self._work.handle(piece)
        except Rejection as error:
            facts = {**self._work.describe(piece), "error": type(error).__name__}
            log.warning("queue.piece_postponed", queue=self._work.name, **facts)
            self._count(self._work.name, "failed")
        except Exception:
            log.exception("queue.piece_failed", queue=self._work.name, **self._work.describe(piece))
            self._count(self._work.name, "failed")
        else:
            self._count(self._work.name, "done")

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._ended.set()

    async def _drain(self) -> None:
        """Wait for the running pieces, cancel those that do not end, and release them."""
        if not self._tasks:
            return
        _, pending = await asyncio.wait(self._tasks, timeout=self._drain_seconds)
        left = [self._tasks[task].piece for task in pending]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if left:
            await self._work.release(left)


async def poll(
    name: str,
    step: Poll,
    *,
    stop: asyncio.Event,
    wake: asyncio.Event,
    urgent: asyncio.Event | None = None,
    beat: Beat = ignore_beat,
    idle_seconds: float = MAX_POLL_INTERVAL_SECONDS,
    rests: bool = True,
) -> None:
    """Poll for work until stopped, less often while idle. No error ends the loop.

    `wake` ends a pause, `urgent` also a rest.
    """
    urgent = urgent or asyncio.Event()
    pause = MIN_POLL_INTERVAL_SECONDS
    while not stop.is_set():
        wake.clear()
        urgent.clear()
        begun = time.monotonic()
        try:
            found = await step()
        except DatabaseUnavailable:
            log.warning("database.connection_lost", loop=name)
            await _sleep(ERROR_INTERVAL_SECONDS, stop)
            continue
        except Exception:
            log.exception("loop.look_failed", loop=name)
            await _sleep(ERROR_INTERVAL_SECONDS, stop)
            continue
        beat()
        if rests:
            await _sleep(choose_rest(time.monotonic() - begun), stop, urgent)
        if found:
            pause = MIN_POLL_INTERVAL_SECONDS
        else:
            await _sleep(pause, stop, urgent, wake)
            pause = min(pause * 1.5, idle_seconds)


def choose_rest(poll_seconds: float) -> float:
    """Return the seconds of rest after a poll that took so long."""
    return min(max(MIN_REST_INTERVAL_SECONDS, REST_FACTOR * poll_seconds), MAX_REST_INTERVAL_SECONDS)


async def _sleep(seconds: float, *events: asyncio.Event) -> None:
    """Sleep until one of the events is set, or until the time is over."""
    if any(event.is_set() for event in events):
        return
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
