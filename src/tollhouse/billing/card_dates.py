"""When the card of a subscription expires, and when it is looked at before. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tollhouse.kernel.card import Expiry

#: The site is told so long before a card expires.
CARD_WARNING = timedelta(days=30)


def choose_card_check(expiry: Expiry, at: datetime) -> datetime | None:
    """Return when a card is to be looked at: 30 days before it expires. One that has expired is not."""
    ends_at = card_ends_at(expiry)
    return None if ends_at <= at else max(at, ends_at - CARD_WARNING)


def card_ends_at(expiry: Expiry) -> datetime:
    """Return when a card is good no more: when the month that is printed on it is over, in UTC."""
    months = expiry.year * 12 + expiry.month
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
