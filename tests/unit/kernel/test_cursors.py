"""Cursors of lists."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.kernel.cursors import format_cursor, parse_cursor
from tollhouse.kernel.ids import MAX_ID

TIMES = st.datetimes(datetime(1970, 1, 1), datetime(5000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - in UTC


@given(TIMES, st.lists(st.integers(0, MAX_ID), min_size=1, max_size=3))
def test_a_cursor_is_parsed_as_it_was_formatted(at: datetime, ids: list[int]) -> None:
    """A position comes back from its cursor, to the microsecond."""
    assert parse_cursor(format_cursor(at, *ids), ids=len(ids)) == (at, ids)


@pytest.mark.parametrize("text", ["", "1", "1-", "1-2-3", "-1-2", "1-2 ", "1-x", "1" * 18 + "-1", "1-" + "1" * 20])
def test_a_malformed_cursor_is_none(text: str) -> None:
    """A text that has another form, or more digits, is no cursor."""
    assert parse_cursor(text, ids=1) is None


def test_an_id_above_all_is_the_largest() -> None:
    """A number that no database column holds is read as the largest ID."""
    assert parse_cursor("0-" + "9" * 19, ids=1) == (datetime(1970, 1, 1, tzinfo=UTC), [MAX_ID])
