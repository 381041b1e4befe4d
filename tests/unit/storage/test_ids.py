"""Blocks of ids: each number once, and one reservation for all who wait."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.storage.ids import ID_STEP, NumberBlocks


@pytest.mark.slow
@given(takers=st.integers(1, 50), each=st.integers(1, 20), size=st.integers(1, 7), pauses=st.lists(st.integers(0, 3)))
def test_no_number_is_given_twice(takers: int, each: int, size: int, pauses: list[int]) -> None:
    """Concurrent callers get different numbers, each from a reserved block."""
    reserved = itertools.count(1000, size * ID_STEP)
    blocks: list[int] = []
    slow = itertools.cycle(pauses or [0])

    async def reserve() -> int:
        for _ in range(next(slow)):
            await asyncio.sleep(0)
        blocks.append(next(reserved))
        return blocks[-1]

    async def take(numbers: NumberBlocks) -> list[int]:
        return [await numbers.next_number() for _ in range(each)]

    async def take_all() -> list[int]:
        numbers = NumberBlocks(reserve, size=size)
        return list(itertools.chain(*await asyncio.gather(*(take(numbers) for _ in range(takers)))))

    taken = asyncio.run(take_all())
    assert len(set(taken)) == takers * each
    assert set(taken) <= {first + ID_STEP * place for first in blocks for place in range(size)}


async def test_callers_without_a_block_wait_for_one_reservation() -> None:
    """Concurrent callers with a used-up block share one reservation; if it fails, all fail at once."""
    calls = 0

    async def reserve() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        if calls == 2:
            raise OSError("away")
        return calls * 1_000_000

    numbers = NumberBlocks(reserve, size=50)
    assert len({*await asyncio.gather(*(numbers.next_number() for _ in range(50)))}) == 50
    assert calls == 1
    failed = await asyncio.gather(*(numbers.next_number() for _ in range(50)), return_exceptions=True)
    assert [type(each) for each in failed] == [OSError] * 50
    assert calls == 2


async def test_a_caller_that_is_cancelled_leaves_the_reservation_to_the_others() -> None:
    """A caller that goes away while a block is reserved takes it from nobody."""
    arrived = asyncio.Event()

    async def reserve() -> int:
        await arrived.wait()
        return 7

    numbers = NumberBlocks(reserve, size=1)
    first, second = (asyncio.create_task(numbers.next_number()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    arrived.set()
    assert await second == 7


async def test_a_block_that_could_not_be_reserved_is_asked_for_again() -> None:
    """A failure is told to who waits, and the next one tries again."""
    answers = iter([None, 5])

    async def reserve() -> int:
        answer = next(answers)
        if answer is None:
            raise OSError("away")
        return answer

    numbers = NumberBlocks(reserve, size=2)
    with pytest.raises(OSError, match="away"):
        await numbers.next_number()
    assert [await numbers.next_number(), await numbers.next_number()] == [5, 5 + ID_STEP]
