"""Expiry and check dates of the card of a subscription. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tollhouse.kernel.card import Expiry

#: A site is notified this long before a card expires.
CARD_WARNING = timedelta(days=30)


def choose_card_check(expiry: Expiry, at: datetime) -> datetime | None:
    """Return the date of the check of a card: 30 days before it expires. An expired card is not checked."""
    ends_at = card_ends_at(expiry)
    return None if ends_at <= at else max(at, ends_at - CARD_WARNING)


def card_ends_at(expiry: Expiry) -> datetime:
    """Return the end of the month that is printed on a card, in UTC."""
    months = expiry.year * 12 + expiry.month
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
