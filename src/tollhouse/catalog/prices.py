"""What a price schedule means now. Pure; the calendar of later charges belongs to billing."""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from datetime import MAXYEAR, datetime, timedelta
from itertools import takewhile

from tollhouse.catalog.model import Offset, Price, SkuKind
from tollhouse.kernel.money import MAX_AMOUNT_MINOR, Money

#: Offsets are at most thirteen characters (wire contract, 1.3) and at most a century.
OFFSET_FORM = re.compile(r"([0-9]{1,5})([dwmy])")
MAX_DAYS = {"d": 36_525, "w": 5_217, "m": 1_200, "y": 100}

MAX_PRICES = 20


class OffsetError(ValueError):
    """An offset was not of the form `30d`, `2w`, `1m` or `1y`."""


def parse_offset(text: str) -> Offset:
    """Read an offset. Raises OffsetError with a text that is fit for an API answer."""
    form = OFFSET_FORM.fullmatch(text)
    if form is None or int(form[1]) > MAX_DAYS[form[2]]:
        raise OffsetError("must be a number of days, weeks, months or years such as 0d, 30d, 2w, 1m, 1y")
    return Offset(int(form[1]), form[2])  # type: ignore[arg-type]  # the form admits the four units only


def find_schedule_faults(prices: Sequence[Price]) -> dict[int, str]:
    """Return what is wrong with a schedule as a whole, by the index of the faulty price (behaviour, section 6).

    Prices without an offset are charged together with the one before them, and no charge is above `MAX_AMOUNT_MINOR`.
    """
    faults: dict[int, str] = {}
    due_together = 0
    for index, price in enumerate(prices):
        due_together = price.money.amount_minor + (due_together if price.offset.is_at_once else 0)
        if price.offset.is_at_once and price.is_repeating:
            faults[index] = "a price that is due at once cannot repeat"
        elif index and prices[index - 1].repeat is True:
            faults[index] = "nothing can come after a price that repeats without end"
        elif price.money.currency != prices[0].money.currency:
            faults[index] = "all prices have to be in one currency"
        elif due_together > MAX_AMOUNT_MINOR:
            faults[index] = "what falls due together adds up to too much"
    return faults


def find_kind_fault(kind: SkuKind, prices: Sequence[Price]) -> str | None:
    """Say why these prices are not those of a product of this kind, or None."""
    if kind == "subscription":
        return None if prices and has_later_charges(prices) else "needs a charge after the first for a subscription"
    if len(prices) == 1 and not prices[0].is_repeating:
        return None
    return "has to be one price that does not repeat for a one-time product"


def take_due_at_once(prices: Sequence[Price]) -> list[Price]:
    """Return what is charged with the first payment: the leading prices without a delay."""
    return list(takewhile(lambda price: price.offset.is_at_once, prices))


def sum_due_at_once(prices: Sequence[Price]) -> Money:
    """Add up what is charged with the first payment."""
    return Money(sum(price.money.amount_minor for price in take_due_at_once(prices)), prices[0].money.currency)


def has_later_charges(prices: Sequence[Price]) -> bool:
    """Tell whether the schedule charges anything after the first instant, which makes it a subscription."""
    return any(not price.offset.is_at_once for price in prices)


def first_renewal(prices: Sequence[Price], signed_up_at: datetime) -> datetime:
    """Return when the first later price falls due: the first charge of `tollhouse.billing.schedule`.

    Raises StopIteration when the schedule has none, and OverflowError when that is past the year 9999.
    """
    return add_offset(signed_up_at, next(price.offset for price in prices if not price.offset.is_at_once))


def add_offset(moment: datetime, offset: Offset) -> datetime:
    """Step from a moment by an offset in UTC; a month that lacks the day ends on its last one.

    Raises OverflowError past the year 9999, where the calendar of this language ends.
    """
    if offset.unit in "dw":
        return moment + timedelta(days=offset.count * (7 if offset.unit == "w" else 1))
    months = moment.month - 1 + offset.count * (12 if offset.unit == "y" else 1)
    year, month = moment.year + months // 12, months % 12 + 1
    if year > MAXYEAR:
        raise OverflowError("the year is past 9999")
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))
