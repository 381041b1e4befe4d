"""The schedule of retries of a callback."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.ipn.delivery.schedule import (
    HORIZON,
    JITTER,
    MAX_RETRY_AFTER,
    RETRY_INTERVALS,
    choose_retry,
    parse_retry_after,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
chances = st.floats(0, 1)
ages = st.timedeltas(timedelta(0), HORIZON)


def test_waits_are_the_published_ones() -> None:
    """Without jitter the waits are 10 s, 1 m, 5 m, 15 m, 1 h, 3 h, 6 h, 12 h, then 24 h each time."""
    waits = [choose_retry(attempts, age=timedelta(0), chance=0) for attempts in range(1, 11)]
    minutes = [1 / 6, 1, 5, 15, 60, 180, 360, 720, 1440, 1440]
    assert waits == [timedelta(minutes=value) for value in minutes]


@given(st.lists(chances, min_size=20, max_size=20))
def test_there_are_thirteen_attempts_in_five_days(drawn: list[float]) -> None:
    """With any jitter there are thirteen attempts, and the last is within five days of the first."""
    age, attempts = timedelta(0), 1
    while (wait := choose_retry(attempts, age=age, chance=drawn[attempts])) is not None:
        age, attempts = age + wait, attempts + 1
    assert attempts == 13
    assert age <= HORIZON


@given(st.integers(1, 40), chances)
def test_jitter_takes_away_a_tenth_at_most(attempts: int, chance: float) -> None:
    """A wait is never longer than published, and at least nine tenths of that."""
    wait = choose_retry(attempts, age=timedelta(0), chance=chance)
    published = RETRY_INTERVALS[min(attempts, len(RETRY_INTERVALS)) - 1]
    assert wait is not None
    assert published * (1 - JITTER) <= wait <= published


@given(st.integers(1, 40), ages, chances, st.floats(0, allow_nan=False, allow_infinity=True))
def test_retry_after_only_lengthens(attempts: int, age: timedelta, chance: float, asked_seconds: float) -> None:
    """Retry-After makes a wait longer up to a day, never shorter, and neither ends nor extends the schedule."""
    plain = choose_retry(attempts, age=age, chance=chance)
    asked = choose_retry(attempts, age=age, chance=chance, retry_after_seconds=asked_seconds)
    if plain is None:
        assert asked is None
    else:
        assert asked is not None
        assert plain <= asked <= max(plain, MAX_RETRY_AFTER)
        assert age + asked <= HORIZON


def test_retry_after_is_kept_to() -> None:
    """An endpoint that requests two minutes after the first attempt gets two minutes."""
    assert choose_retry(1, age=timedelta(0), chance=1, retry_after_seconds=120) == timedelta(minutes=2)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("Fri, 01 May 2026 12:00:30", 30.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("Fri, 99 May 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    """Retry-After is seconds or an HTTP date; a past date is now; any other value is ignored."""
    assert parse_retry_after(text, now=NOW) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_raises(text: str) -> None:
    """Any Retry-After gives a non-negative time or None."""
    seconds = parse_retry_after(text, now=NOW)
    assert seconds is None or seconds >= 0
