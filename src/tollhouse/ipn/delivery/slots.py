"""Limit concurrent holders by key. Others wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class _Slots:
    """The semaphore of one key. `users` hold or await it."""

    places: asyncio.Semaphore
    users: int = field(default=0)


class SlotLimiter(Generic[Key]):
    """At most `limit` holders of each key. An unused key takes no memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._gates: dict[Key, _Slots] = {}

    def __len__(self) -> int:
        """Return the number of used keys."""
        return len(self._gates)

    async def take(self, key: Key) -> None:
        """Wait for a slot of this key; the caller calls `free` later."""
        gate = self._gates.setdefault(key, _Slots(asyncio.Semaphore(self._limit)))
        gate.users += 1
        try:
            await gate.places.acquire()
        except BaseException:
            self._leave(key, gate)
            raise

    def free(self, key: Key) -> None:
        """Release a slot."""
        gate = self._gates[key]
        gate.places.release()
        self._leave(key, gate)

    @asynccontextmanager
    async def hold(self, key: Key, *, seconds: float) -> AsyncIterator[bool]:
        """Hold a slot for the block; yield False if none was free in time."""
        try:
            async with asyncio.timeout(seconds):
                await self.take(key)
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self.free(key)

    def _leave(self, key: Key, gate: _Slots) -> None:
        gate.users -= 1
        if not gate.users:
            del self._gates[key]
