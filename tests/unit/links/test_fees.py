"""Which fees a purchase has."""

from __future__ import annotations

import pytest

from tollhouse.catalog.model import Price
from tollhouse.catalog.prices import parse_offset
from tollhouse.kernel.money import Currency, Money
from tollhouse.links.fees import choose_fees, compute_total
from tollhouse.links.model import FeeRule, Terms
from tollhouse.payments.model import Item

EUR = Currency.of("EUR")
RULES = (
    FeeRule("processing", "ALL", "ALL", 50),
    FeeRule("processing", "ALL", "card", 70),
    FeeRule("processing", "DEU", "ALL", 20),
    FeeRule("platform", "USA", "card", 10),
    FeeRule("platform", "USA", "sepa", 90),
    FeeRule("free", "ALL", "ALL", 0),
)


def terms(*amounts: tuple[str, int], country: str | None = None, rules: tuple[FeeRule, ...] = RULES) -> Terms:
    """Build the terms of a purchase with prices at these offsets."""
    prices = tuple(Price(parse_offset(offset), Money(amount, EUR), repeat=False) for offset, amount in amounts)
    consumer = {"country": country} if country else {}
    return Terms(items=(Item(1, None, "Thing", prices),), consumer=consumer, fee_rules=rules)


@pytest.mark.parametrize(
    ("country", "method", "fees"),
    [
        (None, "card", {"processing": 70}),
        (None, "sepa", {"processing": 50}),
        ("FRA", "card", {"processing": 70}),
        ("DEU", "card", {"processing": 20}),
        ("USA", "card", {"processing": 70, "platform": 10}),
        ("USA", "sepa", {"processing": 50, "platform": 90}),
    ],
)
def test_the_nearest_rule_holds(country: str | None, method: str, fees: dict[str, int]) -> None:
    """The consumer's country comes before any, the method before any; of each kind one fee applies, if it is one."""
    chosen = choose_fees(terms(("0d", 1_000), country=country), method=method)
    assert {fee.kind: fee.money.amount_minor for fee in chosen} == fees


def test_fees_are_added_to_what_is_due_at_once() -> None:
    """The total is what is due at once with the fees; what comes later has none."""
    assert compute_total(terms(("0d", 1_000), ("30d", 9_999)), method="card") == Money(1_070, EUR)


def test_nothing_due_has_no_fee() -> None:
    """A trial is not charged for its fee."""
    assert choose_fees(terms(("7d", 1_000)), method="card") == ()
    assert compute_total(terms(("7d", 1_000)), method="card") == Money(0, EUR)


def test_the_first_of_two_rules_holds() -> None:
    """Of two rules for the same country and method the first applies."""
    twice = (FeeRule("a", "ALL", "ALL", 1), FeeRule("a", "ALL", "ALL", 2))
    assert choose_fees(terms(("0d", 1), rules=twice), method="card")[0].money.amount_minor == 1
