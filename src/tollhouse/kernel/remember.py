"""A cache of loaded values, limited in time and size."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class TimedCache(Generic[Key, Value]):
    """A cache that loads a value by its key and keeps it, also if it is None, for `seconds`.

    At `limit` keys the cache is cleared: this bounds it without bookkeeping for each payment.
    """

    def __init__(self, read: Callable[[Key], Awaitable[Value]], *, seconds: float, limit: int = 10_000) -> None:
        self._read = read
        self._seconds = seconds
        self._limit = limit
        self._known: dict[Key, tuple[Value, float]] = {}
        self._forgotten = 0

    async def get(self, key: Key) -> Value:
        """Return the value, at most `seconds` old."""
        known = self._known.get(key)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        forgotten = self._forgotten
        value = await self._read(key)
        if forgotten != self._forgotten:  # the value may have been loaded before the change
            return value
        if len(self._known) >= self._limit:
            self._known.clear()
        self._known[key] = (value, time.monotonic() + self._seconds)
        return value

    def forget(self, key: Key) -> None:
        """Load this value again at its next use, because it was changed."""
        self._known.pop(key, None)
        self._forgotten += 1
