"""Places that are counted by key: at most so many holders of each key at a time; the others wait their turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class _Gate:
    """The places of one key. `users` hold one or wait for one."""

    places: asyncio.Semaphore
    users: int = field(default=0)


class Places(Generic[Key]):
    """At most `limit` holders of each key. A key that nobody uses takes no memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._gates: dict[Key, _Gate] = {}

    def __len__(self) -> int:
        """Return how many keys are in use."""
        return len(self._gates)

    async def take(self, key: Key) -> None:
        """Take a place of this key when one is free; the caller calls `free` later."""
        gate = self._gates.setdefault(key, _Gate(asyncio.Semaphore(self._limit)))
        gate.users += 1
        try:
            await gate.places.acquire()
        except BaseException:
            self._leave(key, gate)
            raise

    def free(self, key: Key) -> None:
        """Give a place back."""
        gate = self._gates[key]
        gate.places.release()
        self._leave(key, gate)

    @asynccontextmanager
    async def hold(self, key: Key, *, seconds: float) -> AsyncIterator[bool]:
        """Hold a place for the block, or say False when none became free in time."""
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

    def _leave(self, key: Key, gate: _Gate) -> None:
        gate.users -= 1
        if not gate.users:
            del self._gates[key]
