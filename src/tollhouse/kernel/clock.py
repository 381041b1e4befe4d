"""The time of the books: the database's clock, carried on between its answers by the time since the machine started.

Every time that is stored or that stands in a body comes from here, so that nodes whose own clocks differ agree.
Time-outs, leases and rate limits use the monotonic clock directly. Deadlines for sending use `boot_seconds`, which
counts the time that the machine sleeps too.

In stage a merchant's time may be ahead of that: by an offset that is kept with the merchant and only grows. Whoever
reads an offset from the database tells it here.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

#: Linux counts sleep in this clock only; elsewhere the monotonic clock does it.
BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_seconds() -> float:
    """Return the seconds since the machine started, the time that it or this process was suspended included."""
    return time.clock_gettime(BOOT_CLOCK)


def floor_second(at: datetime) -> datetime:
    """Return the second in which a time lies. Times that are shown in seconds are kept in seconds."""
    return at.replace(microsecond=0)


def ceil_second(at: datetime) -> datetime:
    """Return the first whole second that is not before a time."""
    whole = floor_second(at)
    return whole if whole == at else whole + timedelta(seconds=1)


class DatabaseClock:
    """Knows the database's time as of its last answer, and counts on from there."""

    def __init__(self) -> None:
        self._seen = datetime.now(UTC)
        self._seen_at = boot_seconds()
        self._offsets: dict[int, timedelta] = {}

    def observe(self, database_time: datetime) -> None:
        """Take over a time that the database has just answered."""
        self._seen = database_time
        self._seen_at = boot_seconds()

    def now(self) -> datetime:
        """Return the database's time, in UTC."""
        return self._seen + timedelta(seconds=boot_seconds() - self._seen_at)

    def observe_offset(self, merchant_id: int, offset: timedelta) -> None:
        """Take over how far a merchant's time is ahead. A smaller offset than the known one is an old one."""
        if offset > self.offset_of(merchant_id):
            self._offsets[merchant_id] = offset

    def offset_of(self, merchant_id: int) -> timedelta:
        """Return how far a merchant's time is ahead of the real one, as far as this process knows."""
        return self._offsets.get(merchant_id, timedelta())

    def now_of(self, merchant_id: int) -> datetime:
        """Return a merchant's time, in UTC: what stands in its bodies, and by what its things fall due."""
        return self.now() + self.offset_of(merchant_id)
