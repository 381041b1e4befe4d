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
