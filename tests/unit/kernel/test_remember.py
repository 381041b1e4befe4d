"""A cache of loaded values, limited in time and size."""

from __future__ import annotations

import asyncio

import pytest

from tollhouse.kernel.remember import TimedCache


class Source:
    """Counts how often it is read."""

    def __init__(self) -> None:
        self.reads: list[int] = []

    async def read(self, key: int) -> int | None:
        """Return nothing for odd keys, and fail for negative ones."""
        self.reads.append(key)
        await asyncio.sleep(0)
        if key < 0:
            raise LookupError(key)
        return None if key % 2 else key * 10


async def test_a_value_is_read_once() -> None:
    """Within its time a value is read once, also one that is nothing."""
    source = Source()
    known = TimedCache(source.read, seconds=60)
    assert [await known.get(2), await known.get(2), await known.get(3), await known.get(3)] == [20, 20, None, None]
    assert source.reads == [2, 3]


async def test_a_value_is_forgotten_in_time() -> None:
    """After its time a value is read again."""
    source = Source()
    known = TimedCache(source.read, seconds=0)
    await known.get(2)
    await known.get(2)
    assert source.reads == [2, 2]


async def test_failures_are_not_remembered() -> None:
    """After a failure the value is loaded again."""
    source = Source()
    known = TimedCache(source.read, seconds=60)
    for _ in range(2):
        with pytest.raises(LookupError):
            await known.get(-1)
    assert source.reads == [-1, -1]


async def test_memory_is_bounded() -> None:
    """The cache holds no more keys than its limit."""
    source = Source()
    known = TimedCache(source.read, seconds=60, limit=10)
    for key in range(100):
        await known.get(key)
    before = len(source.reads)
    for key in range(100):
        await known.get(key)
    assert len(source.reads) - before >= 90


async def test_changed_value_is_loaded_again() -> None:
    """A changed value is loaded at once, and the others stay cached."""
    reads: list[str] = []

    async def read(key: str) -> int:
        reads.append(key)
        return len(reads)

    remembered = TimedCache(read, seconds=60)
    assert [await remembered.get(key) for key in ("a", "b")] == [1, 2]
    remembered.forget("a")
    assert [await remembered.get(key) for key in ("a", "b")] == [3, 2]


async def test_a_read_that_was_overtaken_is_not_remembered() -> None:
    """A value that was being read while it was changed may be the old one: the next asks again."""
    reads: list[str] = []

    async def read(key: str) -> int:
        reads.append(key)
        if len(reads) == 1:
            remembered.forget(key)
        return len(reads)

    remembered = TimedCache(read, seconds=60)
    assert [await remembered.get("a") for _ in range(3)] == [1, 2, 2]
