"""The lifetime of a payment page."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tollhouse.links.create import TtlError, parse_ttl


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60", 60),
        ("90s", 90),
        ("1m", 60),
        ("30m", 1_800),
        (" 24h ", 86_400),
        ("90d", 7_776_000),
        ("7776000", 7_776_000),
    ],
)
def test_seconds_or_a_unit(text: str, seconds: int) -> None:
    """A number is seconds, unless it has a unit."""
    assert parse_ttl(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "0", "59", "59s", "0m", "91d", "7776001", "-5m", "1.5h", "1w", "1 h", "h", "٣m", "999999999"]
)
def test_bounds_and_form(text: str) -> None:
    """Less than a minute, more than 90 days, and what is no time are refused."""
    with pytest.raises(TtlError):
        parse_ttl(text)
