"""Identifiers do not repeat."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.kernel.ids import NumberBlocks, is_consumer_id, new_consumer_id, new_request_id


@given(takers=st.integers(1, 50), each=st.integers(1, 20), size=st.integers(1, 7), pauses=st.lists(st.integers(0, 3)))
def test_no_number_is_given_twice(takers: int, each: int, size: int, pauses: list[int]) -> None:
    """However many take numbers while blocks are reserved, each number is given once, and out of a block."""
    reserved = itertools.count(1000, size)
    blocks: list[int] = []
    slow = itertools.cycle(pauses or [0])

    async def reserve() -> int:
        for _ in range(next(slow)):
            await asyncio.sleep(0)
        blocks.append(next(reserved))
        return blocks[-1]

    async def take(numbers: NumberBlocks) -> list[int]:
        return [await numbers.take() for _ in range(each)]

    async def take_all() -> list[int]:
        numbers = NumberBlocks(reserve, size=size)
        return list(itertools.chain(*await asyncio.gather(*(take(numbers) for _ in range(takers)))))

    taken = asyncio.run(take_all())
    assert len(set(taken)) == takers * each
    assert set(taken) <= {first + offset for first in blocks for offset in range(size)}


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
        await numbers.take()
    assert [await numbers.take(), await numbers.take()] == [5, 6]


def test_consumer_ids_have_their_form() -> None:
    """A consumer's id is `c` and 24 characters that cannot be misread."""
    drawn = {new_consumer_id() for _ in range(500)}
    assert len(drawn) == 500
    assert all(map(is_consumer_id, drawn))
    assert not set("".join(drawn)) & set("ilouABC")


@pytest.mark.parametrize("text", ["", "c", "c" * 24, "c" * 26, "d" + "0" * 24, "c" + "l" * 24, "c" + "0" * 23 + "O"])
def test_what_is_no_consumer_id(text: str) -> None:
    """A merchant's own id is not taken for the gateway's."""
    assert not is_consumer_id(text)


def test_request_ids_differ() -> None:
    """Each request without an id gets one of its own."""
    assert len({new_request_id() for _ in range(100)}) == 100
