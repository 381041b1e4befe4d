"""Pauses between the checks of a caller that waits for a change."""

from __future__ import annotations

import time
from collections.abc import Iterator

#: Of a wait for a row.
MIN_INTERVAL_SECONDS = 0.002
MAX_INTERVAL_SECONDS = 0.1


def growing_pauses(
    seconds: float, *, min_seconds: float = MIN_INTERVAL_SECONDS, max_seconds: float = MAX_INTERVAL_SECONDS
) -> Iterator[float]:
    """Yield pauses for so many seconds, and at least one. Each is twice the one before, up to the maximum."""
    give_up_at = time.monotonic() + seconds
    pause = min_seconds
    yield pause
    while time.monotonic() < give_up_at:
        pause = min(2 * pause, max_seconds)
        yield pause
