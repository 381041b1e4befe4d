"""The retry schedule of emails."""

from __future__ import annotations

from datetime import timedelta

#: Delays after the first attempt, the second, and so on: two days in all. A later receipt is of no use.
DELAYS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 3 * 60, 6 * 60, 12 * 60, 24 * 60))


def choose_retry(attempts: int) -> timedelta | None:
    """Return the delay after this number of attempts, or None to give up."""
    return DELAYS[attempts - 1] if attempts <= len(DELAYS) else None
