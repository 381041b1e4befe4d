"""When prices fall due and how much is charged then: the definitions of `behaviour` section 6, walked step by step.

A second opinion on `billing.schedule`, which jumps: nothing of it is used here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count, dropwhile, islice
from typing import Any

from hypothesis import strategies as st
from tests.support.shop import price

from tollhouse.catalog.model import Offset, Price

MAX_DUES = 4_000


@dataclass(frozen=True, slots=True)
class Due:
    """A charge: when, how much in minor units, and where months are counted from, with how many so far."""

    at: datetime
    amount_minor: int
    anchor: datetime
    months: int


@dataclass(slots=True)
class Calendar:
    """All charges of a subscription after its sign-up up to an end, and those after each change of its prices."""

    dues: list[Due]
    until: datetime

    def change_prices(self, prices: Sequence[Price], period: int) -> None:
        """From a period on other prices hold: the first of them on that period's day."""
        first = self.dues[period - 1]
        following = walk(prices, first.anchor, first.months, is_first_due=True)
        self.dues = self.dues[: period - 1] + take(following, self.until)

    def start_again(self, prices: Sequence[Price], at: datetime) -> None:
        """Nothing was left to charge: other prices begin when what was paid for is over."""
        self.dues += take(walk(prices, at, is_first_due=True), self.until)


def plan_dues(prices: Sequence[Price], signed_up_at: datetime, until: datetime) -> Calendar:
    """Return the charges up to a time, and the first one after it."""
    later = dropwhile(lambda each: not each.offset.count, prices)
    return Calendar(take(walk(list(later), signed_up_at), until), until)


def take(dues: Iterator[Due], until: datetime) -> list[Due]:
    """Take charges up to a time, and one more."""
    taken: list[Due] = []
    for due in islice(dues, MAX_DUES):
        taken.append(due)
        if due.at > until:
            break
    return taken


def walk(prices: Sequence[Price], anchor: datetime, months: int = 0, *, is_first_due: bool = False) -> Iterator[Due]:
    """Yield the charges one after the other: each price its offset after the one before, as often as it says."""
    due: Due | None = None
    for each in prices:
        if due is not None and not each.offset.count:
            due = replace(due, amount_minor=due.amount_minor + each.money.amount_minor)
            continue
        for _ in count() if each.repeat is True else range(max(1, each.repeat)):
            if due is not None:
                yield due
            if due is not None or not is_first_due:
                anchor, months = step(anchor, months, each.offset)
            due = Due(add_months(anchor, months), each.money.amount_minor, anchor, months)
    if due is not None:
        yield due


def step(anchor: datetime, months: int, offset: Offset) -> tuple[datetime, int]:
    """Months and years are counted from their anchor; after days and weeks the anchor is where they led."""
    if offset.unit in "my":
        return anchor, months + offset.count * (12 if offset.unit == "y" else 1)
    return add_months(anchor, months) + offset.count * timedelta(weeks=offset.unit == "w", days=offset.unit == "d"), 0


def add_months(anchor: datetime, months: int) -> datetime:
    """Return the same day of a later month, or the last one that it has."""
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    for day in (anchor.day, 30, 29, 28):
        if day <= anchor.day:
            try:
                return anchor.replace(year=year, month=month + 1, day=day)
            except ValueError:  # that month is shorter
                continue
    raise AssertionError("Every month has 28 days.")


# ---------------------------------------------------------------- random lists of prices

AMOUNTS = st.one_of(st.just(0), st.integers(1, 9_999), st.integers(1, 9_999))
COUNTS = {"d": [1, 3, 7, 10, 30, 30, 45, 90], "w": [1, 2, 4, 13], "m": [1, 1, 1, 2, 3, 6], "y": [1, 1, 2, 3]}
#: The ends of months, where calendars go wrong, as often as all other days.
STARTS = st.one_of(
    st.integers(0, 3_286 * 86_400).map(lambda seconds: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)),
    st.sampled_from([(2027, 1, 31), (2028, 2, 29), (2026, 12, 31), (2027, 8, 30), (2027, 11, 29)]).map(
        lambda day: datetime(*day, 23, 59, 59, tzinfo=UTC)
    ),
)


@st.composite
def schedules(draw: Any) -> tuple[Price, ...]:
    """Draw a list of prices: what is charged with the sign-up if anything, and one to four groups that come later."""
    prices = [price(draw(AMOUNTS)) for _ in range(draw(st.integers(0, 2)))]
    groups = draw(st.integers(1, 4))
    for number in range(1, groups + 1):
        repeat = draw(st.sampled_from([True, True, True, False, 5, 24] if number == groups else [False, 2, 3]))
        unit = draw(st.sampled_from("ddwmmmy"))
        prices.append(price(draw(AMOUNTS), f"{draw(st.sampled_from(COUNTS[unit]))}{unit}", repeat=repeat))
        if repeat is not True and draw(st.integers(0, 3)) == 0:
            prices.append(price(draw(AMOUNTS)))
    return tuple(prices)
