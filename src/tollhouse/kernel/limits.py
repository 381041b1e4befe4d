"""Rate limits, counted in memory.

The generic cell rate algorithm keeps one number for each caller. Limits are per process; 0 switches a limit off.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tollhouse.kernel.errors import RateLimited

WINDOW_NANOSECONDS = 60 * 1_000_000_000
#: Callers that are remembered. Above this, first callers whose window has passed are removed, then all.
MAX_CALLERS = 100_000


class RateLimit:
    """A rate limit: each caller may make `limit` calls at once, and after that `limit` calls a minute."""

    def __init__(self, limit: int, *, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._limit = limit
        self._clock_ns = clock_ns
        # Whole nanoseconds. Fractions are rounded, which would reject a first call in the minute before 2048 s, 4096 s,
        # ...
        self._pause_ns = WINDOW_NANOSECONDS // limit if limit else 0
        self._full_at_ns: dict[object, int] = {}

    def check(self, caller: object) -> None:
        """Count a call. Raises RateLimited with the time until the next call is allowed."""
        if not self._limit:
            return
        now_ns = self._clock_ns()
        if len(self._full_at_ns) >= MAX_CALLERS:
            self._forget(now_ns)
        full_at_ns = max(self._full_at_ns.get(caller, now_ns), now_ns) + self._pause_ns
        wait_ns = full_at_ns - now_ns - WINDOW_NANOSECONDS
        if wait_ns > 0:
            raise RateLimited(wait_ns // 1_000_000_000 + 1)
        self._full_at_ns[caller] = full_at_ns

    def is_spent(self, caller: object) -> bool:
        """Return whether another call of this caller would exceed the limit, without counting it."""
        full_at_ns = self._full_at_ns.get(caller, 0)
        return full_at_ns + self._pause_ns - self._clock_ns() > WINDOW_NANOSECONDS

    def _forget(self, now_ns: int) -> None:
        self._full_at_ns = {caller: full_at for caller, full_at in self._full_at_ns.items() if full_at > now_ns}
        if len(self._full_at_ns) >= MAX_CALLERS:
            self._full_at_ns.clear()
