"""The loop of leased work."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
from structlog.testing import capture_logs
from tests.support.callbacks import wait_until

from tollhouse.kernel.errors import DatabaseUnavailable, NotFound
from tollhouse.worker.queue import LeasedQueue, RunningPiece, Work, choose_rest


class Rows:
    """Numbers to be handled, like rows of a table; at most `room` at a time."""

    def __init__(self, numbers: Sequence[int], handle: Callable[[int], Awaitable[None]], *, room: int = 3) -> None:
        self.due = list(numbers)
        self.room = room
        self.released: list[int] = []
        self.most_under_way = 0
        self.work = Work("numbers", lease=self.lease, handle=handle, release=self.release)

    async def lease(self, under_way: Sequence[RunningPiece[int]]) -> Sequence[int]:
        """Lease up to the free room."""
        self.most_under_way = max(self.most_under_way, len(under_way))
        count = self.room - len(under_way)
        taken, self.due = self.due[:count], self.due[count:]
        return taken

    async def release(self, pieces: Sequence[int]) -> None:
        """Record released pieces."""
        self.released += pieces


async def test_all_are_handled_with_few_under_way() -> None:
    """Each piece is handled once, with a limited number at a time."""
    handled: list[int] = []

    async def handle(piece: int) -> None:
        await asyncio.sleep(0)
        handled.append(piece)

    rows = Rows(range(50), handle)
    assert await LeasedQueue(rows.work).empty() == 50
    assert sorted(handled) == list(range(50))
    assert rows.most_under_way <= 3


async def test_a_broken_piece_concerns_no_other() -> None:
    """A failing piece is counted as failed with any error; all others are handled."""
    counts: Counter[str] = Counter()

    async def handle(piece: int) -> None:
        if piece % 10 == 0:
            raise (ValueError, DatabaseUnavailable, KeyError)[piece // 10 % 3]

    rows = Rows(range(30), handle)
    await LeasedQueue(rows.work, count=lambda _, outcome: counts.update([outcome])).empty()
    assert counts == {"done": 27, "failed": 3}


async def test_a_refusal_is_a_warning_and_a_defect_an_error() -> None:
    """A piece that cannot be handled now is logged without a trace, a defect with it; both lines identify the piece."""

    async def handle(piece: int) -> None:
        raise (NotFound("Not now."), ValueError("a defect"))[piece]

    work = replace(Rows(range(2), handle).work, describe=lambda piece: {"number": piece})
    with capture_logs() as lines:
        await LeasedQueue(work).empty()
    found = {line["number"]: (line["event"], line["log_level"], bool(line.get("exc_info"))) for line in lines}
    assert found == {0: ("queue.piece_postponed", "warning", False), 1: ("queue.piece_failed", "error", True)}


async def test_a_rest_is_ended_by_a_wake_up_and_not_by_a_piece() -> None:
    """After a poll the loop rests; a wake-up ends the rest, a finished piece does not."""
    stop, wake, handled = asyncio.Event(), asyncio.Event(), asyncio.Event()
    looks: list[int] = []

    async def lease(under_way: Sequence[RunningPiece[int]]) -> Sequence[int]:
        looks.append(len(under_way))
        if len(looks) == 1:
            await asyncio.sleep(0.5)  # so that the rest is the longest
            return [1]
        stop.set()
        return ()

    async def handle(_piece: int) -> None:
        handled.set()

    running = asyncio.create_task(LeasedQueue(Work("numbers", lease=lease, handle=handle)).run(stop=stop, wake=wake))
    await wait_until(lambda: len(looks) == 1)
    await handled.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(looks) == 1
    wake.set()
    await asyncio.wait_for(running, 10)
    assert looks == [0, 0]


@pytest.mark.parametrize(("took", "rest"), [(0.001, 0.02), (0.05, 0.1), (30.0, 1.0)])
def test_a_rest_is_in_proportion_to_its_look(took: float, rest: float) -> None:
    """A loop rests for twice the duration of its poll, within limits."""
    assert choose_rest(took) == rest


async def test_a_slow_piece_keeps_one_place() -> None:
    """A hanging piece does not delay the others."""
    handled: list[int] = []

    async def handle(piece: int) -> None:
        if piece == 0:
            await asyncio.Event().wait()
        handled.append(piece)

    rows = Rows(range(20), handle)
    stop = asyncio.Event()
    running = asyncio.create_task(LeasedQueue(rows.work, drain_seconds=0.01).run(stop=stop))
    await wait_until(lambda: len(handled) == 19)
    stop.set()
    await asyncio.wait_for(running, 10)
    assert rows.released == [0]


async def test_stop_ends_between_two_pieces() -> None:
    """With an endless backlog, a stop lets running pieces end and leases nothing more."""
    stop = asyncio.Event()
    handled: list[int] = []

    async def handle(piece: int) -> None:
        await asyncio.sleep(0.01)
        handled.append(piece)
        if len(handled) == 7:
            stop.set()

    rows = Rows(range(100_000), handle)
    await asyncio.wait_for(LeasedQueue(rows.work).run(stop=stop), 30)
    assert len(handled) <= 7 + rows.room
    assert rows.released == []
    assert len(handled) + len(rows.due) == 100_000


async def test_a_look_that_breaks_is_no_end() -> None:
    """After a failed poll the loop pauses and continues."""
    stop = asyncio.Event()
    looks = 0

    async def lease(_under_way: Sequence[RunningPiece[int]]) -> Sequence[int]:
        nonlocal looks
        looks += 1
        if looks < 3:
            raise (DatabaseUnavailable, ValueError)[looks - 1]
        stop.set()
        return ()

    async def handle(_piece: int) -> None:
        """Do nothing."""

    async def release(_pieces: Sequence[int]) -> None:
        """Do nothing."""

    await asyncio.wait_for(LeasedQueue(Work("numbers", lease=lease, handle=handle, release=release)).run(stop=stop), 30)
    assert looks == 3
