"""Parse the lifetime of a payment page."""

from __future__ import annotations

import re
from datetime import timedelta

#: A number of seconds, or a number with its unit: seconds, minutes, hours, days.
TTL_FORM = re.compile(r"([0-9]{1,8})([smhd]?)")
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}

SHORTEST = timedelta(minutes=1)
LONGEST = timedelta(days=90)
DEFAULT = timedelta(days=1)


class TtlError(ValueError):
    """A lifetime is malformed, too short or too long. The text is suitable for an API response."""


def parse_ttl(text: str) -> timedelta:
    """Parse `900`, `90s`, `15m`, `24h` or `7d`. Raises TtlError."""
    form = TTL_FORM.fullmatch(text.strip())
    if form is None:
        raise TtlError("must be a number of seconds, or a number with s, m, h or d such as 15m")
    ttl = timedelta(seconds=int(form[1]) * SECONDS[form[2]])
    if not SHORTEST <= ttl <= LONGEST:
        raise TtlError("must be from 1 minute (1m) to 90 days (90d)")
    return ttl
