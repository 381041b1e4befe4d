"""Taxes add up to the amount, or are refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import iso4217
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.api.fields.price import PriceFields
from tollhouse.catalog.model import Tax, price_from_json, price_to_json
from tollhouse.catalog.taxes import TOLERANCE_MINOR, TaxError, TaxTerms
from tollhouse.kernel.money import FUND_CODES, RETIRED_EXPONENTS, SHARED_CURRENCIES, Currency, Money

USD = Currency.of("USD")
CURRENCIES = [
    Currency.of(code)
    for code in [*(known.code for known in iso4217.Currency), *RETIRED_EXPONENTS]
    if code not in FUND_CODES and (not code.startswith("X") or code in SHARED_CURRENCIES)
]


def settle(**parts: Any) -> tuple[int, Tax | None]:
    """Settle a price in cents."""
    money = {name: Money(parts[name], USD) for name in ("amount", "before", "after", "taxes") if name in parts}
    terms = TaxTerms(**({"amount": None} | money), rate=parts.get("rate"), name=parts.get("name"))
    amount, tax = terms.compute()
    return amount.amount_minor, tax


@pytest.mark.parametrize(
    ("parts", "amount", "taxes"),
    [
        ({"amount": 1200}, 1200, None),
        ({"after": 1200}, 1200, None),
        ({"amount": 1200, "taxes": 200}, 1200, 200),
        ({"amount": 1200, "before": 1000}, 1200, 200),
        ({"amount": 1200, "before": 1000, "after": 1200, "taxes": 200, "rate": Decimal("0.2")}, 1200, 200),
        ({"before": 1000, "after": 1200}, 1200, 200),
        ({"before": 1000, "taxes": 200}, 1200, 200),
        ({"before": 1000, "rate": Decimal("0.2")}, 1200, 200),
        ({"before": 999, "rate": Decimal("0.21")}, 1209, 210),
        ({"before": 250, "rate": Decimal("0.05")}, 263, 13),
        ({"amount": 1200, "rate": Decimal("0.2")}, 1200, 200),
        ({"amount": 999, "rate": Decimal("0.19")}, 999, 160),
        ({"amount": 1200, "rate": Decimal(0)}, 1200, 0),
        ({"amount": 0, "taxes": 0}, 0, 0),
        ({"amount": 1200, "taxes": 201, "rate": Decimal("0.2")}, 1200, 201),
    ],
)
def test_amount_is_derived_from_its_parts(parts: dict[str, Any], amount: int, taxes: int | None) -> None:
    """The amount is charged; missing amounts and taxes are computed from the other fields."""
    charged, tax = settle(**parts)
    assert (charged, None if tax is None else tax.amount_minor) == (amount, taxes)


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({}, "amount"),
        ({"before": 1000}, "amount"),
        ({"taxes": 200}, "amount"),
        ({"rate": Decimal("0.2")}, "amount"),
        ({"amount": 1000, "after": 1200}, "after"),
        ({"amount": 1000, "taxes": 1001}, "taxes"),
        ({"amount": 1000, "before": 1001}, "before"),
        ({"amount": 1200, "before": 1000, "taxes": 199}, "before"),
        ({"amount": 1200, "taxes": 203, "rate": Decimal("0.2")}, "rate"),
        ({"amount": 1200, "taxes": 200, "rate": Decimal("0.25")}, "rate"),
    ],
)
def test_contradicting_parts_are_rejected(parts: dict[str, Any], field: str) -> None:
    """Contradicting fields are rejected, and the faulty field is named."""
    with pytest.raises(TaxError) as caught:
        settle(**parts)
    assert caught.value.field == field


@given(st.integers(0, 10**11), st.decimals(0, 1, places=4))
def test_rate_and_tax_agree_within_a_minor_unit(before: int, rate: Decimal) -> None:
    """A tax computed by a rate is accepted with that rate, and computed back from the total within a minor unit."""
    amount, tax = settle(before=before, rate=rate)
    assert tax is not None
    assert settle(amount=amount, before=before, taxes=tax.amount_minor, rate=rate) == (amount, tax)
    _, again = settle(amount=amount, rate=rate)
    assert again is not None
    assert abs(again.amount_minor - tax.amount_minor) <= TOLERANCE_MINOR


@given(st.sampled_from(CURRENCIES), st.integers(0, 10**9), st.integers(0, 10**9))
def test_taxes_are_kept_exactly(currency: Currency, before: int, taxes: int) -> None:
    """A price with taxes of any currency is stored and read back to the last digit."""
    amounts = {
        name: str(Money(minor, currency).to_decimal())
        for name, minor in {"beforeTaxes": before, "taxes": taxes, "afterTaxes": before + taxes}.items()
    }
    fields = PriceFields.model_validate({"currency": currency.code, **amounts, "taxName": "VAT", "title": "Seat"})
    price = fields.price
    assert (price.money.amount_minor, price.tax, price.title) == (before + taxes, Tax(taxes, None, "VAT"), "Seat")
    assert price_from_json(price_to_json(price)) == price


def test_a_rate_is_kept_as_it_was_sent() -> None:
    """A rate keeps its digits."""
    price = PriceFields.model_validate({"currency": "USD", "amount": 12, "taxRate": Decimal("0.2000")}).price
    assert price_to_json(price)["tax"] == {"amount_minor": 200, "rate": "0.2000"}
    assert price_from_json(price_to_json(price)) == price
