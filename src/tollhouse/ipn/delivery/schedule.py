"""Choose the time of the next attempt at a callback. Pure: time and chance are arguments.

After the first attempt come nine waits: 10 s, 1 m, 5 m, 15 m, 1 h, 3 h, 6 h, 12 h, then 24 h as often as it fits into
five days: thirteen attempts. Jitter only shortens a wait, by up to a tenth, so that no endpoint gets fewer attempts by
chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

#: The waits after the first, second, ... attempt; the last one repeats.
RETRY_INTERVALS: Sequence[timedelta] = (
    timedelta(seconds=10),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=6),
    timedelta(hours=12),
    timedelta(hours=24),
)

#: The time from the first attempt within which all others start.
HORIZON = timedelta(days=5)

#: The largest part of a wait that chance removes.
JITTER = 0.1

#: The longest accepted `Retry-After`; a longer one counts as this.
MAX_RETRY_AFTER = timedelta(hours=24)

#: After so many consecutive failures an endpoint gets one attempt at a time ...
PROBE_AFTER_FAILURES = 5

#: ... with a pause after each failure that doubles from the first to the longest. It is short for developers: due
#: callbacks arrive within ten seconds after an outage.
MIN_PROBE_INTERVAL = timedelta(seconds=1)
MAX_PROBE_INTERVAL = timedelta(seconds=8)


def choose_retry(
    attempts: int,
    *,
    age: timedelta,
    chance: float,
    retry_after_seconds: float | None = None,
    waits: Sequence[timedelta] = RETRY_INTERVALS,
    horizon: timedelta = HORIZON,
) -> timedelta | None:
    """Return the wait before the next attempt, or None after the last one.

    `attempts` is the number made, including the last failure; `age` the time since the first one; `chance` is from 0 to
    1. An endpoint's `Retry-After` makes a wait longer, never shorter, and never ends the schedule: a wait beyond the
    horizon ends at the horizon.
    """
    wait = waits[min(attempts, len(waits)) - 1] * (1 - JITTER * chance)
    if age + wait > horizon:
        return None
    asked = choose_pause(retry_after_seconds)
    return wait if asked is None else min(max(wait, asked), horizon - age)


def choose_pause(retry_after_seconds: float | None) -> timedelta | None:
    """Return the pause of an endpoint that sent `Retry-After`, or None without one."""
    if retry_after_seconds is None:
        return None
    return min(timedelta(seconds=min(retry_after_seconds, 1e6)), MAX_RETRY_AFTER)


def parse_retry_after(text: str | None, *, now: datetime) -> float | None:
    """Return the seconds of a `Retry-After`, which is a number or an HTTP date; None if it is malformed."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        moment = parsedate_to_datetime(text)
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
