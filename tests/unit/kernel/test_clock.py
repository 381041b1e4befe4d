"""The time of the books goes on from what the database said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tollhouse.kernel.clock import DatabaseClock


def test_the_database_is_right() -> None:
    """After an answer of the database, its time counts and not this machine's."""
    clock = DatabaseClock()
    clock.observe(datetime(2040, 1, 1, tzinfo=UTC))
    assert timedelta() <= clock.now() - datetime(2040, 1, 1, tzinfo=UTC) < timedelta(seconds=5)
    clock.observe(datetime(2030, 1, 1, tzinfo=UTC))
    assert clock.now().year == 2030


def test_time_goes_on() -> None:
    """Between two answers the time grows."""
    clock = DatabaseClock()
    moments = [clock.now() for _ in range(1000)]
    assert moments == sorted(moments)
    assert all(moment.tzinfo is UTC for moment in moments)


def test_a_merchants_time_is_ahead() -> None:
    """A merchant's offset is added for this merchant alone; one that is smaller than the known one is old news."""
    clock = DatabaseClock()
    clock.observe_offset(7, timedelta(days=30))
    clock.observe_offset(7, timedelta(days=3))
    assert timedelta(days=30) - timedelta(seconds=5) < clock.now_of(7) - clock.now() <= timedelta(days=30)
    assert clock.offset_of(8) == timedelta()
