"""Price schedules, counted the slow way: one charge and one month after another, straight from the definitions.

Nothing here is shared with `tollhouse.billing.schedule` but its records, so that each can be held against the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, islice, repeat
from typing import NamedTuple

from tollhouse.billing.schedule import Charge
from tollhouse.catalog.model import Offset, Price
from tollhouse.kernel.money import Money

DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
LAST_SECOND = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


class Hand(NamedTuple):
    """The hand that points into the calendar: an anchor, the month that is shown, and how many were turned to it."""

    anchor: datetime
    year: int
    month: int
    turned: int

    @property
    def shown(self) -> datetime | None:
        """The anchor's day in the month that is shown, or the month's last; None after the year 9999."""
        if self.year > 9999:
            return None
        is_leap = self.year % 4 == 0 and (self.year % 100 != 0 or self.year % 400 == 0)
        last = 29 if self.month == 2 and is_leap else DAYS[self.month - 1]
        shown = self.anchor.replace(year=self.year, month=self.month, day=min(self.anchor.day, last))
        return shown if shown <= LAST_SECOND else None


class Due(NamedTuple):
    """What falls due together, and where the hand stands then."""

    hand: Hand
    prices: list[Price]


def put_hand(anchor: datetime, months: int = 0) -> Hand:
    """Return a hand that was put on an anchor and turned by some months."""
    hand = Hand(anchor, anchor.year, anchor.month, 0)
    for _ in range(months):
        hand = turn_month(hand)
    return hand


def turn_month(hand: Hand) -> Hand:
    """Turn the hand by one month."""
    year, month = (hand.year + 1, 1) if hand.month == 12 else (hand.year, hand.month + 1)
    return Hand(hand.anchor, year, month, hand.turned + 1)


def turn(hand: Hand, offset: Offset) -> Hand | None:
    """Turn the hand by an offset: month by month, or to another anchor. None after the year 9999."""
    if offset.unit in "dw":
        assert hand.shown
        try:
            return put_hand(hand.shown + timedelta(days=offset.count * {"d": 1, "w": 7}[offset.unit]))
        except OverflowError:
            return None
    for _ in range(offset.count * {"m": 1, "y": 12}[offset.unit]):
        hand = turn_month(hand)
    return hand


def write_out(prices: Sequence[Price]) -> Iterator[Price]:
    """Write a list out: each price as often as it is charged."""
    for price in prices:
        yield from repeat(price) if price.repeat is True else repeat(price, max(1, int(price.repeat)))


def count_along(prices: Sequence[Price], hand: Hand, *, starts_at_base: bool = False) -> Iterator[Due]:
    """Yield what falls due, one after another, for as long as there is time.

    What stands at the base is dropped if it belongs to the sign-up.
    """
    due = Due(hand, [])
    is_period = starts_at_base
    for index, price in enumerate(write_out(prices)):
        if price.offset.count == 0 or (index == 0 and starts_at_base):
            due.prices.append(price)
            continue
        if is_period:
            yield due
        turned = turn(due.hand, price.offset)
        if turned is None or turned.shown is None:
            return
        due, is_period = Due(turned, [price]), True
    if is_period:
        yield due


def expect_charges(
    prices: Sequence[Price],
    hand: Hand,
    *,
    starts_at_base: bool = False,
    first_period: int = 1,
    limit: int,
    until: datetime = LAST_SECOND,
) -> list[Charge]:
    """Return the charges of a list before `until`, and at most `limit` of them."""
    dues = list(islice(count_along(prices, hand, starts_at_base=starts_at_base), limit + 1))
    charges = []
    for period, due, following in zip(count(first_period), dues[:limit], [*dues[1:], None], strict=False):
        shown = due.hand.shown
        assert shown
        if shown >= until:
            break
        after = following.hand if following else turn(due.hand, due.prices[0].offset)
        total = Money(sum(price.money.amount_minor for price in due.prices), due.prices[0].money.currency)
        covered = (after and after.shown) or LAST_SECOND
        charges.append(Charge(period, shown, total, tuple(due.prices), covered, following is None))
    return charges


def find_hand(prices: Sequence[Price], hand: Hand, index: int, *, starts_at_base: bool = False) -> Hand:
    """Return where the hand stands at the charge with this index, counted from 0."""
    return next(islice(count_along(prices, hand, starts_at_base=starts_at_base), index, None)).hand


def follow_changes(
    prices: Sequence[Price], base: datetime, changes: Sequence[tuple[int, Sequence[Price]]], *, limit: int
) -> list[Charge]:
    """Return the first `limit` charges of a list, in whose place others come with the charges of some periods."""
    hand, first, is_changed = put_hand(base), 1, False
    charges: list[Charge] = []
    for period, following in changes:
        ahead = period - first
        charges += expect_charges(prices, hand, starts_at_base=is_changed, first_period=first, limit=ahead)
        hand = find_hand(prices, hand, ahead, starts_at_base=is_changed)
        prices, first, is_changed = following, period, True
    left = limit - len(charges)
    return charges + expect_charges(prices, hand, starts_at_base=is_changed, first_period=first, limit=left)
