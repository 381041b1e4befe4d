"""From answers to bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tollhouse.kernel.money import MAX_AMOUNT_MINOR, Currency, Money
from tollhouse.wire.answers import ProblemAnswer, SourceAnswer, TokenAnswer
from tollhouse.wire.render import build_timestamp, render, render_duration, render_instant, render_json

texts = st.text(st.characters(exclude_categories=["Cs"]))
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**38), 10**38)
    | texts
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@given(values)
def test_plain_data_comes_out_as_it_was(value: Any) -> None:
    """Any client data is rendered as the same JSON, to the last digit of every number."""
    assert json.loads(render_json(value), parse_float=Decimal) == value


@given(st.integers(0, MAX_AMOUNT_MINOR), st.sampled_from(["USD", "JPY", "KWD", "CLF"]))
def test_amounts_are_numbers_without_exponents(minor: int, code: str) -> None:
    """An amount is written as people write it, so that every client reads it."""
    written = render_json(Money(minor, Currency.of(code)).to_decimal()).decode()
    assert set(written) <= set("0123456789.")
    assert Decimal(written).scaleb(Currency.of(code).exponent) == minor


def test_none_fields_are_left_out() -> None:
    """A field without a value is left out; an empty object is kept."""
    assert render(TokenAnswer(token="t", expireAt=1)) == b'{"token":"t","expireAt":1}'
    assert render(ProblemAnswer(message="No.", errors={})) == b'{"message":"No.","errors":{}}'


def test_a_whole_card_number_does_not_fit() -> None:
    """The answer has room for a masked number only."""
    fields: dict[str, Any] = {"brand": "visa", "paymentAccountId": "x", "expirationMonth": 1, "expirationYear": 30}
    assert SourceAnswer(number="402400****6348", **fields).number == "402400****6348"
    with pytest.raises(ValidationError):
        SourceAnswer(number="4024007179366348", **fields)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - it gets its zone below
def test_three_forms_of_a_moment(moment: datetime) -> None:
    """The forms of a moment agree, and cut what is less than a second."""
    stamp = build_timestamp(moment.replace(tzinfo=UTC))
    read = datetime.strptime(stamp.dateTime + stamp.timezone, "%Y-%m-%d %H:%M:%S%z")
    assert int(stamp.unixTime) == read.timestamp()
    assert read == moment.replace(tzinfo=UTC, microsecond=0)


def test_an_instant() -> None:
    """An instant is told in UTC, whatever zone it was in, and to the millisecond."""
    moment = datetime(2027, 1, 31, 13, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert render_instant(moment) == "2027-01-31T12:00:00.999Z"


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(), "PT0S"),
        (timedelta(milliseconds=499), "PT0S"),
        (timedelta(days=30) - timedelta(milliseconds=200), "P30D"),
        (timedelta(days=30), "P30D"),
        (timedelta(days=1, seconds=1), "P1DT1S"),
        (timedelta(hours=25, minutes=2, seconds=2.9), "P1DT1H2M3S"),
        (timedelta(minutes=15), "PT15M"),
    ],
)
def test_a_duration(span: timedelta, text: str) -> None:
    """A span is told in days and less, without what is zero and to the nearest second."""
    assert render_duration(span) == text
