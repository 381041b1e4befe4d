"""Schedules: when a subscription charges, and how much, and when its card is checked.

The leading prices without a delay are charged with the sign-up. Each later price is due its offset after the due time
of the one before it, whenever that was paid. A repeating price does so at its own offset. A price without an offset is
due together with the one before it. Days and weeks are exact, in UTC. Months and years are
calendar steps, counted from their anchor, so that the 31st stays the 31st.

Charges are numbered by their period, from 1: the first charge after the sign-up. `docs/reference/schedule-vectors.md`
has the rules and examples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from tollhouse.catalog.model import Offset, Price
from tollhouse.catalog.prices import MAX_PRICES, add_offset, find_schedule_faults
from tollhouse.kernel.card import Expiry
from tollhouse.kernel.money import Money

#: The last possible second. A charge that would be due later is not made, and ends its schedule.
END_OF_TIME = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
#: A site is notified this long before a card expires.
CARD_WARNING = timedelta(days=30)


class ScheduleError(ValueError):
    """The plan or the charge does not exist. The message gives the reason."""


@dataclass(frozen=True, slots=True)
class SchedulePosition:
    """A position in a schedule: a number of whole months after an anchor.

    The anchor keeps its day: 31 January and one month is the end of February, and another month later is 31 March.
    """

    anchor_at: datetime
    months: int = 0

    @property
    def moment(self) -> datetime | None:
        """The moment in UTC, on the last day of a month that lacks the anchor's day. None after the end of time."""
        return _add(self.anchor_at, Offset(self.months, "m"))

    def step(self, offset: Offset, times: int = 1) -> SchedulePosition | None:
        """Return the position a number of offsets later, or None if days or weeks exceed the end of time.

        After days and weeks the resulting moment is the new anchor. Zero steps keep the old one.
        """
        count = offset.count * times
        if count == 0:
            return self
        if offset.unit in "my":
            return SchedulePosition(self.anchor_at, self.months + count * (12 if offset.unit == "y" else 1))
        reached = self.moment and _add(self.moment, Offset(count, offset.unit))
        return SchedulePosition(reached) if reached else None


@dataclass(frozen=True, slots=True)
class Plan:
    """A list of prices and its start: `base_months` whole months after `base_at`, which is in UTC.

    `first_period` is the number of its first charge. A list that `starts_at_base` has that charge on the base itself,
    with any offset: a changed list begins this way, on the day of the next charge. Its leading prices without a
    delay are then that charge; without the flag they belong to the sign-up and are no period.

    Raises ScheduleError unless there are 1 to `MAX_PRICES` prices that fit together (`find_schedule_faults`).
    """

    prices: tuple[Price, ...]
    base_at: datetime
    base_months: int = 0
    starts_at_base: bool = False
    first_period: int = 1

    def __post_init__(self) -> None:
        if not 0 < len(self.prices) <= MAX_PRICES:
            raise ScheduleError(f"A schedule has 1 to {MAX_PRICES} prices, not {len(self.prices)}.")
        if self.base_at.utcoffset() != timedelta(0):
            raise ScheduleError("The base of a schedule is in UTC.")
        for index, fault in find_schedule_faults(self.prices).items():
            raise ScheduleError(f"Price {index} of the schedule: {fault}.")


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge: the sum of the prices that are due together.

    It pays for the time until `covers_until`, when the next charge is due; if it `is_last`, for one more step of its
    own offset, within the end of time. A changed list that is charged at once and never again covers no time.
    """

    period: int
    due_at: datetime
    money: Money
    prices: tuple[Price, ...]
    covers_until: datetime
    is_last: bool


@dataclass(frozen=True, slots=True)
class _LocatedCharge:
    """A located charge: the position, its moment, and the prices that are due there."""

    position: SchedulePosition
    due_at: datetime
    prices: tuple[Price, ...]


def find_charge(plan: Plan, period: int) -> Charge | None:
    """Return the charge of a period, or None if the plan has none. Takes as many steps as there are prices."""
    place = _locate(plan, period)
    if place is None:
        return None
    following = _locate(plan, period + 1)
    return Charge(
        period=period,
        due_at=place.due_at,
        money=Money(sum(price.money.amount_minor for price in place.prices), place.prices[0].money.currency),
        prices=place.prices,
        covers_until=following.due_at if following else _end_last(place),
        is_last=following is None,
    )


def list_charges(plan: Plan, from_period: int, limit: int) -> list[Charge]:
    """Return the charges from a period on, oldest first, at most `limit` of them."""
    first = max(from_period, plan.first_period)
    charges: list[Charge] = []
    for period in range(first, first + limit):
        charge = find_charge(plan, period)
        if charge is None:
            break
        charges.append(charge)
    return charges


def find_period_after(plan: Plan, period: int, moment: datetime) -> int | None:
    """Return the first period from one on whose charge is due after a moment, or None.

    Dates grow with the periods, so a binary search needs about twice as many steps as the number of periods has binary
    digits.
    """

    def is_past(candidate: int) -> bool:
        charge = find_charge(plan, candidate)
        return charge is not None and charge.due_at <= moment

    if not is_past(period):
        return period if find_charge(plan, period) else None
    step = 1
    while is_past(period + step):
        step *= 2
    past, after = period + step // 2, period + step
    while after - past > 1:
        middle = (past + after) // 2
        past, after = (middle, after) if is_past(middle) else (past, middle)
    return after if find_charge(plan, after) else None


def replan(plan: Plan, prices: tuple[Price, ...], period: int) -> Plan:
    """Return the plan after a change of prices, with `period` as the next charge.

    That charge keeps its date and is the first of the new list; the anchor of months and years stays. Raises
    ScheduleError if the plan has no such charge, or the prices are not a schedule.
    """
    place = _locate(plan, period)
    if place is None:
        raise ScheduleError(f"The schedule has no charge for period {period}, so nothing can take its place.")
    position = place.position
    return Plan(prices, position.anchor_at, position.months, starts_at_base=True, first_period=period)


def _locate(plan: Plan, period: int) -> _LocatedCharge | None:
    """Locate a charge by stepping over whole groups of prices. Return None before the first and after the last."""
    ordinal = period - plan.first_period + 1
    position: SchedulePosition | None = SchedulePosition(plan.base_at, plan.base_months)
    # The charge on the base itself takes no step.
    unstepped = 1 if plan.starts_at_base else 0
    for group in _group_prices(plan):
        count = _count_charges(group[0])
        if position is None or ordinal < 1:
            return None
        if count is None or ordinal <= count:
            reached = position.step(group[0].offset, ordinal - unstepped)
            return _arrive(reached, group if ordinal == count else group[:1])
        position = position.step(group[0].offset, count - unstepped)
        ordinal, unstepped = ordinal - count, 0
    return None


def _group_prices(plan: Plan) -> Iterator[tuple[Price, ...]]:
    """Yield each price with an offset, with the following ones without, which are due with its last charge."""
    starts = [index for index, price in enumerate(plan.prices) if index == 0 or not price.offset.is_at_once]
    for start, end in pairwise([*starts, len(plan.prices)]):
        group = plan.prices[start:end]
        if plan.starts_at_base or not group[0].offset.is_at_once:
            yield group


def _count_charges(price: Price) -> int | None:
    """Return the total number of charges of a price, or None if there is no end."""
    return None if price.repeat is True else max(1, price.repeat)


def _arrive(position: SchedulePosition | None, prices: tuple[Price, ...]) -> _LocatedCharge | None:
    """Return the charge at a position, or None after the end of time."""
    moment = position and position.moment
    return _LocatedCharge(position, moment, prices) if position and moment else None


def _end_last(place: _LocatedCharge) -> datetime:
    """Return the time until which the last charge pays."""
    position = place.position.step(place.prices[0].offset)
    return (position and position.moment) or END_OF_TIME


def _add(moment: datetime, offset: Offset) -> datetime | None:
    """Add an offset, or return None past the end of time."""
    try:
        moved = add_offset(moment, offset)
    except (OverflowError, ValueError):  # ValueError is the calendar's exception for a year after 9999
        return None
    return moved if moved <= END_OF_TIME else None


def choose_card_check(expiry: Expiry, at: datetime) -> datetime | None:
    """Return the date of the check of a card: 30 days before it expires. An expired card is not checked."""
    ends_at = card_ends_at(expiry)
    return None if ends_at <= at else max(at, ends_at - CARD_WARNING)


def card_ends_at(expiry: Expiry) -> datetime:
    """Return the end of the month that is printed on a card, in UTC."""
    months = expiry.year * 12 + expiry.month
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
