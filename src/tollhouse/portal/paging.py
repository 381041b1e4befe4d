"""Cursors of the list of payments as texts. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tollhouse.portal.model import Cursor
from tollhouse.portal.store import START_OF_LIST

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = re.compile(r"([0-9]{1,17})-([0-9]{1,18})-([0-9]{1,18})")


def format_cursor(cursor: Cursor) -> str:
    """Format a cursor for a query parameter."""
    microseconds = (cursor.created_at - EPOCH) // timedelta(microseconds=1)
    return f"{microseconds}-{cursor.payment_id}-{cursor.transaction_id}"


def parse_cursor(text: str) -> Cursor:
    """Parse a cursor; return the start of the list for an invalid one."""
    found = _FORM.fullmatch(text)
    if not found:
        return START_OF_LIST
    microseconds, payment_id, transaction_id = map(int, found.groups())
    return Cursor(EPOCH + timedelta(microseconds=microseconds), payment_id, transaction_id)
