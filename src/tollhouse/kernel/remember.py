"""Remembering what was read, for a while and within bounds."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """Reads a value by its key and remembers it, also when it is None, for `seconds`.

    When `limit` keys are remembered, all are forgotten: a bound, and no bookkeeping on the way of a payment.
    """

    def __init__(self, read: Callable[[Key], Awaitable[Value]], *, seconds: float, limit: int = 10_000) -> None:
        self._read = read
        self._seconds = seconds
        self._limit = limit
        self._known: dict[Key, tuple[Value, float]] = {}
        self._forgotten = 0

    async def get(self, key: Key) -> Value:
        """Return the value as it is, or was a few seconds ago."""
        known = self._known.get(key)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        forgotten = self._forgotten
        value = await self._read(key)
        if forgotten != self._forgotten:  # what was read may be what was there before
            return value
        if len(self._known) >= self._limit:
            self._known.clear()
        self._known[key] = (value, time.monotonic() + self._seconds)
        return value

    def forget(self, key: Key) -> None:
        """Read this value anew when it is next asked for: it was changed."""
        self._known.pop(key, None)
        self._forgotten += 1
