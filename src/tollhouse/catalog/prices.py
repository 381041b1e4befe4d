"""Rules of price schedules for the first payment. The calendar of later charges belongs to billing."""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from datetime import MAXYEAR, datetime, timedelta
from functools import lru_cache
from itertools import takewhile

from tollhouse.catalog.model import Offset, Price, SkuKind
from tollhouse.kernel.money import MAX_AMOUNT_MINOR, Money

#: An offset has at most thirteen characters and is at most a century.
OFFSET_FORM = re.compile(r"([0-9]{1,5})([dwmy])")
MAX_DAYS = {"d": 36_525, "w": 5_217, "m": 1_200, "y": 100}

MAX_PRICES = 20


class OffsetError(ValueError):
    """An offset does not have the form `30d`, `2w`, `1m` or `1y`."""


@lru_cache(maxsize=1_024)
def parse_offset(text: str) -> Offset:
    """Parse an offset. Raises OffsetError with a text suitable for an API response."""
    form = OFFSET_FORM.fullmatch(text)
    if form is None or int(form[1]) > MAX_DAYS[form[2]]:
        raise OffsetError("must be a number of days, weeks, months or years such as 0d, 30d, 2w, 1m, 1y")
    return Offset(int(form[1]), form[2])  # type: ignore[arg-type]  # the form admits the four units only


def find_schedule_faults(prices: Sequence[Price]) -> dict[int, str]:
    """Return the faults of a schedule as a whole, by the index of the faulty price.

    Prices without an offset are charged together with the one before them, and no charge is above `MAX_AMOUNT_MINOR`.
    """
    faults: dict[int, str] = {}
    due_together = 0
    for index, price in enumerate(prices):
        due_together = price.money.amount_minor + (due_together if price.offset.is_at_once else 0)
        if price.offset.is_at_once and price.is_repeating:
            faults[index] = "a price due at once cannot repeat"
        elif index and prices[index - 1].repeat is True:
            faults[index] = "no price may follow one that repeats without end"
        elif price.money.currency != prices[0].money.currency:
            faults[index] = "all prices must have one currency"
        elif due_together > MAX_AMOUNT_MINOR:
            faults[index] = "the total due on one day is too large"
    return faults


def find_kind_fault(kind: SkuKind, prices: Sequence[Price]) -> str | None:
    """Return the reason why these prices do not suit a SKU of this kind, or None."""
    if kind == "subscription":
        return None if prices and has_later_charges(prices) else "must have a later charge for a subscription"
    if len(prices) == 1 and not prices[0].is_repeating:
        return None
    return "must be one price that does not repeat for a one-time SKU"


def select_due_at_once(prices: Sequence[Price]) -> list[Price]:
    """Return the prices of the first payment: the leading ones without a delay."""
    return list(takewhile(lambda price: price.offset.is_at_once, prices))


def sum_due_at_once(prices: Sequence[Price]) -> Money:
    """Return the amount of the first payment."""
    return Money(sum(price.money.amount_minor for price in select_due_at_once(prices)), prices[0].money.currency)


def has_later_charges(prices: Sequence[Price]) -> bool:
    """Return whether the schedule has charges after the first payment, which makes it a subscription."""
    return any(not price.offset.is_at_once for price in prices)


def find_first_renewal(prices: Sequence[Price], signed_up_at: datetime) -> datetime:
    """Return the due time of the first later price: the first charge of `tollhouse.billing.schedule`.

    Raises StopIteration if the schedule has none, and OverflowError if it is due after the year 9999.
    """
    return add_offset(signed_up_at, next(price.offset for price in prices if not price.offset.is_at_once))


def add_offset(moment: datetime, offset: Offset) -> datetime:
    """Add an offset to a moment in UTC. If the month lacks the day, use its last day.

    Raises OverflowError after the year 9999, the last year that Python supports.
    """
    if offset.unit in "dw":
        return moment + timedelta(days=offset.count * (7 if offset.unit == "w" else 1))
    months = moment.month - 1 + offset.count * (12 if offset.unit == "y" else 1)
    year, month = moment.year + months // 12, months % 12 + 1
    if year > MAXYEAR:
        raise OverflowError("the year is past 9999")
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))
