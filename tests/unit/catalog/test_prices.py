"""Rules of price schedules."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.catalog.model import Offset, Price, price_from_json, price_to_json
from tollhouse.catalog.prices import (
    OffsetError,
    add_offset,
    find_first_renewal,
    find_schedule_faults,
    has_later_charges,
    parse_offset,
    sum_due_at_once,
)
from tollhouse.kernel.money import MAX_AMOUNT_MINOR, Currency, Money

offsets = st.builds(Offset, st.integers(0, 1_200), st.sampled_from("dwm")) | st.builds(
    Offset, st.integers(0, 100), st.just("y")
)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001 - it gets its zone here
prices = st.builds(
    Price,
    offsets,
    st.integers(0, 10**6).map(lambda minor: Money(minor, Currency.of("USD"))),
    st.booleans() | st.integers(0, 1000),
)


def price(minor: int = 999, offset: str = "0d", *, repeat: bool | int = False, currency: str = "USD") -> Price:
    """Return a price."""
    return Price(parse_offset(offset), Money(minor, Currency.of(currency)), repeat)


@given(offsets)
def test_offsets_are_read_as_written(offset: Offset) -> None:
    """Every offset within a century reads as it prints."""
    assert parse_offset(str(offset)) == offset


@pytest.mark.parametrize(
    "text", ["", "d", "30", "30 d", "-1d", "1.5d", "30D", "30h", "36526d", "101y", "1201m", "5218w", "३d", "1d "]
)
def test_invalid_offset_is_rejected(text: str) -> None:
    """An offset is a small number of days, weeks, months or years."""
    with pytest.raises(OffsetError):
        parse_offset(text)


@pytest.mark.parametrize(
    ("start", "offset", "end"),
    [
        ("2027-01-31", "1m", "2027-02-28"),
        ("2028-01-31", "1m", "2028-02-29"),
        ("2027-01-31", "2m", "2027-03-31"),
        ("2028-02-29", "1y", "2029-02-28"),
        ("2028-02-29", "4y", "2032-02-29"),
        ("2026-12-15", "1m", "2027-01-15"),
        ("2026-12-15", "13m", "2028-01-15"),
        ("2026-03-28", "3d", "2026-03-31"),
        ("2026-03-28", "2w", "2026-04-11"),
        ("2026-03-28", "0m", "2026-03-28"),
    ],
)
def test_calendar_steps(start: str, offset: str, end: str) -> None:
    """Months and years are steps of the calendar, and a month that lacks the day ends on its last."""
    moved = add_offset(datetime.fromisoformat(f"{start}T12:30:00+00:00"), parse_offset(offset))
    assert moved == datetime.fromisoformat(f"{end}T12:30:00+00:00")


@given(moments, offsets)
def test_steps_keep_the_time_of_day(moment: datetime, offset: Offset) -> None:
    """A step never goes back, keeps the time of day, and a month never skips one."""
    moved = add_offset(moment, offset)
    assert moved >= moment
    assert moved.timetz() == moment.timetz()
    if offset.unit == "m":
        assert (moved.year * 12 + moved.month) - (moment.year * 12 + moment.month) == offset.count


@given(st.lists(prices, min_size=1, max_size=8))
def test_leading_prices_are_due_at_once(schedule: list[Price]) -> None:
    """Prices before the first delay are due at once; later ones make a subscription."""
    leading = 0
    for each in schedule:
        if not each.offset.is_at_once:
            break
        leading += each.money.amount_minor
    assert sum_due_at_once(schedule).amount_minor == leading
    assert has_later_charges(schedule) is any(each.offset.count for each in schedule)


@given(st.lists(prices, min_size=1, max_size=8).filter(has_later_charges), moments)
def test_the_first_renewal(schedule: list[Price], moment: datetime) -> None:
    """The first renewal is a step from the sign-up by the first delay, and later than it."""
    first = next(each.offset for each in schedule if each.offset.count)
    assert find_first_renewal(schedule, moment) == add_offset(moment, first) > moment


@pytest.mark.parametrize(
    ("schedule", "faulty"),
    [
        ([price()], []),
        ([price(100), price(500, "3d"), price(2999, "30d", repeat=True)], []),
        ([price(100), price(200)], []),
        ([price(repeat=1)], []),
        ([price(repeat=True)], [0]),
        ([price(repeat=2)], [0]),
        ([price(), price(999, "30d", repeat=True), price(999, "30d")], [2]),
        ([price(), price(999, "30d", repeat=3), price(999, "30d")], []),
        ([price(), price(999, "30d", currency="EUR")], [1]),
        ([price(MAX_AMOUNT_MINOR), price(1)], [1]),
        ([price(MAX_AMOUNT_MINOR), price(1, "30d")], []),
        ([price(1), price(MAX_AMOUNT_MINOR, "30d"), price(0)], []),
        ([price(1), price(MAX_AMOUNT_MINOR, "30d"), price(1)], [2]),
        ([price(1), price(MAX_AMOUNT_MINOR, "30d", repeat=3), price(0), price(1), price(1, "1d"), price(1)], [3]),
        ([price(MAX_AMOUNT_MINOR, "30d"), price(MAX_AMOUNT_MINOR, "0m"), price(1, "0y")], [1, 2]),
    ],
)
def test_faulty_schedule_is_rejected(schedule: list[Price], faulty: list[int]) -> None:
    """Prices due at once do not repeat, sums are bounded, an endless price is last, currencies agree."""
    assert list(find_schedule_faults(schedule)) == faulty


@given(prices)
def test_prices_are_kept_as_they_are(each: Price) -> None:
    """A price that went through a JSON column is the same, also whether it repeats once or without end."""
    kept = price_from_json(json.loads(json.dumps(price_to_json(each))))
    assert kept == each
    assert type(kept.repeat) is type(each.repeat)


@pytest.mark.parametrize("offset", ["30d", "5w", "1m", "1y", "100y", "36525d"])
def test_the_calendar_ends(offset: str) -> None:
    """A step that leads past the year 9999 is one error, whatever its unit."""
    with pytest.raises(OverflowError):
        add_offset(datetime(9999, 12, 15, tzinfo=UTC), parse_offset(offset))


def test_weeks_are_days() -> None:
    """A week is seven days wherever the calendar stands."""
    start = datetime(2026, 3, 28, tzinfo=UTC)
    assert add_offset(start, parse_offset("10w")) - start == timedelta(days=70)
