"""Dates and amounts of the charges of a subscription."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support.schedules import expect_charges, find_hand, put_hand

from tollhouse.billing.schedule import (
    END_OF_TIME,
    Plan,
    ScheduleError,
    SchedulePosition,
    find_charge,
    list_charges,
    replan,
)
from tollhouse.catalog.model import Offset, Price
from tollhouse.catalog.prices import (
    MAX_PRICES,
    find_first_renewal,
    find_schedule_faults,
    has_later_charges,
    parse_offset,
    sum_due_at_once,
)
from tollhouse.kernel.money import MAX_AMOUNT_MINOR, Currency, Money

USD = Currency.of("USD")
TEN_YEARS = timedelta(days=3_653)

moneys = st.integers(0, 10**6).map(lambda minor: Money(minor, USD))
delays = (
    st.builds(Offset, st.integers(1, 90), st.just("d"))
    | st.builds(Offset, st.integers(1, 13), st.sampled_from("wm"))
    | st.builds(Offset, st.integers(1, 3), st.just("y"))
)
at_once = st.builds(Offset, st.just(0), st.sampled_from("dwmy"))
#: What may stand anywhere in a list, and what only at its end.
bounded_prices = st.builds(Price, delays, moneys, st.sampled_from([False]) | st.integers(0, 14)) | st.builds(
    Price, at_once, moneys, st.sampled_from([False, 0, 1])
)
endless_prices = st.builds(Price, delays, moneys, st.sampled_from([True]))
schedules = st.builds(
    lambda bounded, last: (*bounded, *last),
    st.lists(bounded_prices, max_size=6),
    st.lists(endless_prices, max_size=1),
).filter(bool)

#: Every day as likely as another, and the ends of months, where the calendar is uneven, far more.
moments = st.builds(
    lambda day, seconds: datetime(2023, 1, 1, tzinfo=UTC) + timedelta(days=day, seconds=seconds),
    st.integers(0, 2_000) | st.sampled_from([28, 29, 30, 58, 89, 119, 364, 395, 423, 424, 454, 729]),
    st.integers(0, 86_399),
)
plans = st.builds(
    Plan,
    schedules,
    moments,
    base_months=st.integers(0, 30),
    starts_at_base=st.booleans(),
    first_period=st.integers(1, 50),
)


def price(minor: int = 999, offset: str = "0d", *, repeat: bool | int = False) -> Price:
    """Return a price."""
    return Price(parse_offset(offset), Money(minor, USD), repeat)


def at(day: str) -> datetime:
    """Return the noon of a day."""
    return datetime.fromisoformat(f"{day}T12:00:00+00:00")


def days(plan: Plan, limit: int) -> list[str]:
    """Return the days on which the first charges fall due."""
    return [charge.due_at.date().isoformat() for charge in list_charges(plan, 1, limit)]


def count_last(plan: Plan) -> int | None:
    """Return the period of the last charge by counting the prices, or None if there is no last one."""
    if plan.prices[-1].repeat is True:
        return None
    joins = [each.offset.is_at_once for each in plan.prices]
    periods = sum(max(1, each.repeat) for each, is_joined in zip(plan.prices, joins, strict=True) if not is_joined)
    return plan.first_period - 1 + periods + (1 if plan.starts_at_base and joins[0] else 0)


@pytest.mark.slow
@given(plans)
def test_charges_equal_step_by_step_counting(plan: Plan) -> None:
    """Over ten years the charge of a period equals the result of step-by-step counting."""
    expected = expect_charges(
        plan.prices,
        put_hand(plan.base_at, plan.base_months),
        starts_at_base=plan.starts_at_base,
        first_period=plan.first_period,
        limit=4_000,
        until=plan.base_at + TEN_YEARS,
    )
    for charge in [*expected[:40], *expected[40 :: 1 + len(expected) // 40], *expected[-1:]]:
        assert find_charge(plan, charge.period) == charge


@given(plans)
def test_each_charge_pays_until_the_next(plan: Plan) -> None:
    """Each charge is due after the one before it, and pays until the next one."""
    charges = list_charges(plan, plan.first_period, 60)
    for charge, following in pairwise(charges):
        assert charge.due_at < charge.covers_until == following.due_at
        assert following.period == charge.period + 1
        assert not charge.is_last


@given(plans)
def test_a_schedule_ends_with_its_list(plan: Plan) -> None:
    """The last charge is at the sum of the counts; there is none before the first or after the last."""
    last = count_last(plan)
    assert find_charge(plan, plan.first_period - 1) is None
    if last is None:
        charge = find_charge(plan, plan.first_period + 120)
        assert charge
        assert not charge.is_last
        return
    assert find_charge(plan, last + 1) is None
    charges = list_charges(plan, 1, last + 5)
    assert [charge.period for charge in charges] == list(range(plan.first_period, last + 1))
    assert [charge.is_last for charge in charges] == [period == last for period in range(plan.first_period, last + 1)]


@given(plans, st.integers(-2, 60), st.integers(0, 20))
def test_a_list_equals_single_charges(plan: Plan, start: int, limit: int) -> None:
    """A list has the charges of its periods, from the first one that exists."""
    first = max(start, plan.first_period)
    found = [find_charge(plan, period) for period in range(first, first + limit)]
    assert list_charges(plan, start, limit) == [charge for charge in found if charge]


@given(plans)
def test_charges_sum_up_to_the_prices(plan: Plan) -> None:
    """A charge is the sum of its prices; all charges and the sign-up are each price as often as listed."""
    last = count_last(plan)
    assume(last is not None)
    charges = list_charges(plan, 1, last or 0)
    for charge in charges:
        assert charge.money.amount_minor == sum(each.money.amount_minor for each in charge.prices)
    at_sign_up = 0 if plan.starts_at_base else sum_due_at_once(plan.prices).amount_minor
    listed = sum(each.money.amount_minor * max(1, each.repeat) for each in plan.prices)
    assert at_sign_up + sum(charge.money.amount_minor for charge in charges) == listed


@given(moments, st.integers(1, 13), st.integers(1, 2_000))
def test_months_do_not_drift(base: datetime, months: int, period: int) -> None:
    """A monthly charge is on the day of the sign-up, or on the last day of a shorter month."""
    charge = find_charge(Plan((price(offset=f"{months}m", repeat=True),), base), period)
    assert charge
    assert charge.due_at.timetz() == base.timetz()
    passed = (charge.due_at.year - base.year) * 12 + charge.due_at.month - base.month
    assert passed == months * period
    is_last_day = (charge.due_at + timedelta(days=1)).day == 1
    assert charge.due_at.day == base.day or (is_last_day and charge.due_at.day < base.day)


@given(moments, st.integers(1, 400), st.sampled_from("dw"), st.integers(1, 1_000))
def test_days_and_weeks_are_exact(base: datetime, number: int, unit: str, period: int) -> None:
    """Days are 24 hours and weeks seven days on every date."""
    charge = find_charge(Plan((price(offset=f"{number}{unit}", repeat=True),), base), period)
    assert charge
    assert charge.due_at - base == timedelta(days=number * (7 if unit == "w" else 1)) * period


@given(plans, schedules, st.integers(0, 40))
def test_a_changed_price_begins_with_the_next_charge(plan: Plan, prices: tuple[Price, ...], ahead: int) -> None:
    """A change of price keeps number and date of the next charge, and starts the new list there."""
    period = plan.first_period + ahead
    before = find_charge(plan, period)
    assume(before is not None)
    changed = replan(plan, prices, period)
    after = find_charge(changed, period)
    assert before
    assert after
    assert after.due_at == before.due_at
    assert after.prices[0] == prices[0]
    assert find_charge(changed, period - 1) is None
    hand = find_hand(plan.prices, put_hand(plan.base_at, plan.base_months), ahead, starts_at_base=plan.starts_at_base)
    expected = expect_charges(prices, hand, starts_at_base=True, first_period=period, limit=30)
    assert list_charges(changed, period, 30) == expected


@given(schedules, endless_prices, moments, st.integers(1, 40))
def test_a_change_to_the_same_price_changes_nothing(
    before: tuple[Price, ...], endless: Price, base: datetime, ahead: int
) -> None:
    """A change to the same repeating price keeps amounts and dates."""
    prices = (*(each for each in before if each.repeat is not True), endless)
    plan = Plan(prices, base)
    period = len(list_charges(Plan((*prices[:-1], price()), base), 1, 100)) + ahead
    changed = replan(replan(plan, (endless,), period), (endless,), period + 2)
    assert list_charges(changed, period + 2, 20) == list_charges(plan, period + 2, 20)


def test_months_keep_their_anchor_through_a_change() -> None:
    """After a sign-up on the 31st and a change in February the dates are the 28th and 31 March."""
    plan = Plan((price(), price(999, "1m", repeat=True)), at("2026-01-31"))
    changed = replan(plan, (price(1999), price(1999, "1m", repeat=True)), 1)
    assert changed == Plan(
        (price(1999), price(1999, "1m", repeat=True)), at("2026-01-31"), 1, starts_at_base=True, first_period=1
    )
    assert days(changed, 3) == ["2026-02-28", "2026-03-31", "2026-04-30"]
    assert [charge.money.amount_minor for charge in list_charges(changed, 1, 3)] == [1999, 1999, 1999]


def test_a_step_of_no_time_leaves_the_anchor() -> None:
    """A charge on the base of a changed list takes no step, so months count from the old anchor."""
    plan = Plan((price(offset="30d"), price(offset="1m", repeat=True)), at("2026-01-31"), 1, starts_at_base=True)
    assert days(plan, 3) == ["2026-02-28", "2026-03-31", "2026-04-30"]


def test_days_after_months_make_an_anchor() -> None:
    """If days follow months, later months count from the day that was reached."""
    plan = Plan((price(offset="1m"), price(offset="1d"), price(offset="1m", repeat=True)), at("2026-01-31"))
    assert days(plan, 4) == ["2026-02-28", "2026-03-01", "2026-04-01", "2026-05-01"]


def test_what_falls_due_together_is_one_charge() -> None:
    """A price without an offset is charged with the last charge of the price before it."""
    plan = Plan((price(1), price(10, "30d", repeat=2), price(100), price(1000), price(5, "1m")), at("2026-01-01"))
    charges = list_charges(plan, 1, 10)
    assert [charge.money.amount_minor for charge in charges] == [10, 1110, 5]
    assert [len(charge.prices) for charge in charges] == [1, 3, 1]
    assert (charges[-1].due_at, charges[-1].covers_until) == (at("2026-04-02"), at("2026-05-02"))


def test_a_list_may_have_no_period_at_all() -> None:
    """What is all charged with the sign-up leaves nothing to charge later."""
    plan = Plan((price(100), price(200)), at("2026-01-01"))
    assert list_charges(plan, 1, 10) == []
    with pytest.raises(ScheduleError, match="no charge for period 1"):
        replan(plan, (price(),), 1)


def test_a_single_charge_may_take_the_place_of_the_rest() -> None:
    """A changed list without a delay is charged once, on the day of the next charge, and pays for no time after it."""
    plan = replan(Plan((price(999, "1m", repeat=True),), at("2026-01-31")), (price(100), price(200)), 2)
    (charge,) = list_charges(plan, 1, 10)
    assert (charge.period, charge.money.amount_minor, charge.is_last) == (2, 300, True)
    assert charge.due_at == charge.covers_until == at("2026-03-31")


@pytest.mark.parametrize("period", [-1, 0, 4, 10**30])
def test_what_is_not_there_cannot_be_changed(period: int) -> None:
    """A change needs a next charge: not one before the first, nor one after the last."""
    with pytest.raises(ScheduleError, match="no charge for period"):
        replan(Plan((price(999, "1m", repeat=3),), at("2026-01-31")), (price(),), period)


@pytest.mark.parametrize(
    ("prices", "base", "text"),
    [
        ((), at("2026-01-31"), "has 1 to 20 prices, not 0"),
        ((price(),) * (MAX_PRICES + 1), at("2026-01-31"), "has 1 to 20 prices, not 21"),
        ((price(),), datetime(2026, 1, 31), "in UTC"),  # noqa: DTZ001 - the point is that it has no zone
        ((price(),), datetime(2026, 1, 31, tzinfo=timezone(timedelta(hours=1))), "in UTC"),
        ((price(repeat=True),), at("2026-01-31"), "Price 0 of the schedule: a price due at once cannot repeat"),
        (
            (price(1, "1d"), price(MAX_AMOUNT_MINOR)),
            at("2026-01-31"),
            "Price 1 of the schedule: the total due on one day is too large",
        ),
    ],
)
def test_what_is_no_plan(prices: tuple[Price, ...], base: datetime, text: str) -> None:
    """A plan has 1 to 20 prices that go together, and counts in UTC."""
    with pytest.raises(ScheduleError, match=text):
        Plan(prices, base)


@pytest.mark.parametrize("offset", ["36525d", "5217w", "1200m", "100y", "1d"])
@pytest.mark.parametrize("period", [80, 10**4, 3 * 10**6, 10**30])
def test_time_has_an_end(offset: str, period: int) -> None:
    """What would fall due after the year 9999 does not, and asking for it is no error."""
    charge = find_charge(Plan((price(offset=offset, repeat=True),), at("2026-01-31")), period)
    assert charge is None or charge.due_at < END_OF_TIME


@pytest.mark.parametrize("offset", ["36525d", "5217w", "1200m", "100y"])
def test_the_last_charge_before_the_end_of_time(offset: str) -> None:
    """A schedule without end has a last charge in the year 9999 at the latest, which pays until time ends."""
    plan = Plan((price(offset=offset, repeat=True),), at("9800-01-31"))
    (charge,) = list_charges(plan, 1, 10)
    assert (charge.is_last, charge.covers_until) == (True, END_OF_TIME)
    assert len(list_charges(replan(plan, (price(offset=offset, repeat=7),), 1), 1, 10)) == 1


def test_no_charge_falls_into_the_last_fraction_of_a_second() -> None:
    """Time ends with a whole second, so that a charge never pays until a moment before it."""
    base = END_OF_TIME.replace(day=30, microsecond=1)
    assert find_charge(Plan((price(offset="1d"),), base), 1) is None
    charge = find_charge(Plan((price(offset="1d"),), base.replace(microsecond=0)), 1)
    assert charge
    assert charge.due_at == charge.covers_until == END_OF_TIME


def test_prices_after_the_end_of_time_are_never_due() -> None:
    """Days cannot follow months that led out of time, whatever else the list has."""
    plan = Plan((price(offset="100y", repeat=80), price(offset="1d", repeat=5), price(offset="1m")), at("2026-01-31"))
    assert len(list_charges(plan, 1, 100)) == 79
    assert find_charge(plan, 80) is find_charge(plan, 81) is find_charge(plan, 86) is None


def test_a_position_is_an_anchor_and_months() -> None:
    """Months are counted beside the anchor, and days begin where it was shown."""
    position = SchedulePosition(at("2024-01-31")).step(Offset(1, "m"))
    assert position == SchedulePosition(at("2024-01-31"), 1)
    assert position.moment == at("2024-02-29")
    assert position.step(Offset(1, "y"), 3) == SchedulePosition(at("2024-01-31"), 37)
    assert position.step(Offset(1, "w"), 2) == SchedulePosition(at("2024-03-14"))
    assert position.step(Offset(0, "d")) == position.step(Offset(30, "d"), 0) == position


@given(schedules.filter(has_later_charges), moments | st.just(datetime(9998, 12, 31, tzinfo=UTC)))
def test_the_first_renewal_is_the_first_charge(prices: tuple[Price, ...], signed_up_at: datetime) -> None:
    """What a sign-up is told about its first renewal is when the first charge falls due."""
    charge = find_charge(Plan(prices, signed_up_at), 1)
    if charge is None:
        with pytest.raises(OverflowError):
            find_first_renewal(prices, signed_up_at)
    else:
        assert find_first_renewal(prices, signed_up_at) == charge.due_at


@given(schedules)
def test_random_schedules_are_sound(prices: tuple[Price, ...]) -> None:
    """What these tests draw would be taken by the API."""
    assert find_schedule_faults(prices) == {}
