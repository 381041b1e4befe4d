"""Clocks: the database's time, extrapolated by the time since the machine started, and merchants' virtual clocks.

Every stored or published time comes from here, so that nodes whose system clocks differ agree. Time-outs, leases and
rate limits use the monotonic clock directly. Deadlines for sending use `boot_seconds`, which also counts the time while
the machine sleeps.

In stage a merchant's time may be ahead of real time, by an offset that is stored with the merchant and only grows. Code
that loads an offset from the database passes it to `observe_offset`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

#: On Linux only this clock counts sleep. On other systems the monotonic clock counts it.
BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_seconds() -> float:
    """Return the seconds since the machine started, including the time while it or this process was suspended."""
    return time.clock_gettime(BOOT_CLOCK)


def floor_second(at: datetime) -> datetime:
    """Round a time down to a whole second. Times that are shown in seconds are stored in seconds."""
    return at.replace(microsecond=0)


def ceil_second(at: datetime) -> datetime:
    """Round a time up to a whole second."""
    whole = floor_second(at)
    return whole if whole == at else whole + timedelta(seconds=1)


class DatabaseClock:
    """The database's time: its last reported time, plus the time that has passed since."""

    def __init__(self) -> None:
        self._seen = datetime.now(UTC)
        self._seen_at = boot_seconds()
        self._offsets: dict[int, timedelta] = {}

    def observe(self, database_time: datetime) -> None:
        """Record a time that the database has just reported."""
        self._seen = database_time
        self._seen_at = boot_seconds()

    def now(self) -> datetime:
        """Return the database's time, in UTC."""
        return self._seen + timedelta(seconds=boot_seconds() - self._seen_at)

    def observe_offset(self, merchant_id: int, offset: timedelta) -> None:
        """Record a merchant's offset. Ignore an offset smaller than the known one, because it is outdated."""
        if offset > self.offset_of(merchant_id):
            self._offsets[merchant_id] = offset

    def offset_of(self, merchant_id: int) -> timedelta:
        """Return the offset of a merchant's time from real time, as far as this process knows it."""
        return self._offsets.get(merchant_id, timedelta())

    def now_of(self, merchant_id: int) -> datetime:
        """Return a merchant's time, in UTC: used in responses and callbacks, and for due times."""
        return self.now() + self.offset_of(merchant_id)
