"""The place in a list as a text in an address. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tollhouse.portal.model import Cursor
from tollhouse.portal.store import BEGINNING

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = re.compile(r"([0-9]{1,17})-([0-9]{1,18})-([0-9]{1,18})")


def write_cursor(cursor: Cursor) -> str:
    """Write a place down."""
    microseconds = (cursor.created_at - EPOCH) // timedelta(microseconds=1)
    return f"{microseconds}-{cursor.payment_id}-{cursor.transaction_id}"


def read_cursor(text: str) -> Cursor:
    """Read a place; what is none is the beginning."""
    found = _FORM.fullmatch(text)
    if not found:
        return BEGINNING
    microseconds, payment_id, transaction_id = map(int, found.groups())
    return Cursor(EPOCH + timedelta(microseconds=microseconds), payment_id, transaction_id)
