"""What the payment page says of prices that come later."""

from __future__ import annotations

import pytest

from tollhouse.catalog.model import Price
from tollhouse.catalog.prices import parse_offset
from tollhouse.checkout.pay_view import describe_later
from tollhouse.checkout.words import words_of
from tollhouse.kernel.money import Currency, Money

USD = Currency.of("USD")


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ([("0d", 1, False)], ""),
        ([("0d", 0, False), ("30d", 2_999, True)], "$29.99 every 30 days. Renews automatically until you cancel."),
        (
            [("0d", 100, False), ("3d", 500, False), ("1m", 2_999, True)],
            "$5.00 in 3 days, then $29.99 every month. Renews automatically until you cancel.",
        ),
        ([("1w", 700, 4)], "4 payments of $7.00, one every week."),
        ([("1y", 700, 1)], "$7.00 in 1 year."),
    ],
)
def test_later_charges_in_words(schedule: list[tuple[str, int, bool | int]], text: str) -> None:
    """Every later charge is told, and whether it ever ends."""
    prices = [Price(parse_offset(offset), Money(minor, USD), repeat) for offset, minor, repeat in schedule]
    assert describe_later(prices, words_of("en")) == text
