"""How often somebody may do something.

Counted in memory by the generic cell rate algorithm: one number for each caller. Limits are per process; 0 switches
one off.
"""

from __future__ import annotations

import time

from tollhouse.kernel.errors import RateLimited

WINDOW_SECONDS = 60.0
#: Callers that are remembered; past it, those whose window is over are forgotten, and then all.
MAX_CALLERS = 100_000


class Window:
    """Lets each caller have `limit` calls at once, and from then on as many a minute."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pause = WINDOW_SECONDS / limit if limit else 0.0
        self._full_at: dict[object, float] = {}

    def check(self, caller: object) -> None:
        """Count a call. Raises RateLimited, which says when the next one is welcome."""
        if not self._limit:
            return
        now = time.monotonic()
        if len(self._full_at) >= MAX_CALLERS:
            self._forget(now)
        full_at = max(self._full_at.get(caller, now), now) + self._pause
        wait = full_at - now - WINDOW_SECONDS
        if wait > 0:
            raise RateLimited(int(wait) + 1)
        self._full_at[caller] = full_at

    def is_spent(self, caller: object) -> bool:
        """Tell whether a call of this caller would be one too many, without counting it."""
        full_at = self._full_at.get(caller, 0.0)
        return full_at + self._pause - time.monotonic() > WINDOW_SECONDS

    def _forget(self, now: float) -> None:
        self._full_at = {caller: full_at for caller, full_at in self._full_at.items() if full_at > now}
        if len(self._full_at) >= MAX_CALLERS:
            self._full_at.clear()
