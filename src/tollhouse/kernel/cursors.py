"""Cursors of lists: the position after the last row of a page, a time and IDs, as a text. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tollhouse.kernel.ids import MAX_ID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def cursor_pattern(ids: int) -> str:
    """Return the pattern of a cursor with so many IDs."""
    return "([0-9]{1,17})" + "-([0-9]{1,19})" * ids


def format_cursor(at: datetime, *ids: int) -> str:
    """Format a position as a cursor."""
    return "-".join(map(str, ((at - EPOCH) // MICROSECOND, *ids)))


def parse_cursor(text: str, *, ids: int) -> tuple[datetime, list[int]] | None:
    """Parse a cursor with so many IDs; return None for an invalid one."""
    found = re.fullmatch(cursor_pattern(ids), text)
    if found is None:
        return None
    microseconds, *numbers = map(int, found.groups())
    return EPOCH + microseconds * MICROSECOND, [min(number, MAX_ID) for number in numbers]
