"""When a letter that could not be carried is tried again. Pure."""

from __future__ import annotations

from datetime import timedelta

#: After the first attempt, the second, and so on: two days in all. A receipt that comes later helps nobody.
DELAYS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 3 * 60, 6 * 60, 12 * 60, 24 * 60))


def choose_retry(attempts: int) -> timedelta | None:
    """Return how long to wait after so many attempts, or None: it is given up."""
    return DELAYS[attempts - 1] if attempts <= len(DELAYS) else None
