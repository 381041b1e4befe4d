"""The time of the books: the database's clock, carried on between its answers by the machine's monotonic one.

Every time that is stored or that stands in a body comes from here, so that nodes whose own clocks differ agree.
Time-outs, leases and rate limits use the monotonic clock directly.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class DatabaseClock:
    """Knows the database's time as of its last answer, and counts on from there."""

    def __init__(self) -> None:
        self._seen = datetime.now(UTC)
        self._seen_at = time.monotonic()

    def observe(self, database_time: datetime) -> None:
        """Take over a time that the database has just answered."""
        self._seen = database_time
        self._seen_at = time.monotonic()

    def now(self) -> datetime:
        """Return the database's time, in UTC."""
        return self._seen + timedelta(seconds=time.monotonic() - self._seen_at)
