"""Identifiers: what is drawn at random, and what is counted from reserved blocks."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Awaitable, Callable

#: Crockford's alphabet in lower case: no i, l, o, u.
_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"

_PROCESS_PREFIX = secrets.token_hex(8)
_request_numbers = itertools.count(1)


def new_consumer_id() -> str:
    """Draw a gateway consumer id: `c` and 24 random base-32 characters, so it cannot meet a merchant's own ids."""
    bits = secrets.randbits(120)
    return "c" + "".join(_BASE32[(bits >> shift) & 31] for shift in range(0, 120, 5))


def is_consumer_id(text: str) -> bool:
    """Tell whether a text has the form of a gateway consumer id."""
    return len(text) == 25 and text[0] == "c" and all(character in _BASE32 for character in text[1:])


def new_request_id() -> str:
    """Name a request that came without an X-Request-ID: unique, and no secret, so it is counted from a random start."""
    return f"{_PROCESS_PREFIX}-{next(_request_numbers):08x}"


class NumberBlocks:
    """Gives numbers one by one from blocks that `reserve` brings, so that an id is known before its row is written.

    `reserve` returns the first number of a fresh block of `size`. Numbers of a block that was not used up are lost
    when the process ends; ids have gaps and nobody may conclude anything from them.
    """

    def __init__(self, reserve: Callable[[], Awaitable[int]], *, size: int) -> None:
        self._reserve = reserve
        self._size = size
        self._next = self._end = 0

    async def take(self) -> int:
        """Return the next number, reserving a block when the last one is used up."""
        while self._next == self._end:
            first = await self._reserve()
            if self._next == self._end:
                self._next, self._end = first, first + self._size
        number = self._next
        self._next += 1
        return number
