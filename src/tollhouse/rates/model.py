"""Rules for exchange rates to US dollars.

Rates come from a table of one day, in units for one euro, converted through the euro, and from fixed parities. A rate
is rounded to twelve significant digits and an amount in dollars to whole cents, both half up. So an amount times the
rate from the API equals the `amountUsd` from the API.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cache
from importlib.resources import files

from tollhouse.kernel.money import Currency, Money

EURO, DOLLAR = "EUR", "USD"
US_DOLLAR = Currency.of(DOLLAR)

RATE_DIGITS = 12
_RATE = Context(prec=RATE_DIGITS, rounding=ROUND_HALF_UP)
#: Precision high enough that only the result is rounded: a rate has 12 digits, an amount 12.
_WIDE = Context(prec=60, rounding=ROUND_HALF_UP)

#: The largest number of parities between a currency and one in the table.
MAX_CHAIN_LENGTH = 3


@dataclass(frozen=True, slots=True)
class RateTable:
    """Reference rates of one day: the units of each currency for one euro."""

    day: date
    per_euro: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Parity:
    """A fixed parity by law or treaty: `units` of a currency equal `worth` of the currency `of`."""

    units: Decimal
    worth: Decimal
    of: str


@dataclass(frozen=True, slots=True)
class Rate:
    """The value of a currency in US dollars. `day` is the day of the table used, or None if only parities are."""

    currency: str
    usd_per_unit: Decimal
    unit_per_usd: Decimal
    day: date | None


def build_rates(table: RateTable, parities: Mapping[str, Parity]) -> dict[str, Rate]:
    """Return the rates of all currencies that the table or a parity reaches, by code, in alphabetic order."""
    per_euro = {**table.per_euro, EURO: Decimal(1)}
    rates: dict[str, Rate] = {}
    for currency in sorted({*per_euro, *parities, DOLLAR}):
        worth = _find_worth(currency, per_euro, parities, MAX_CHAIN_LENGTH)
        if worth is not None:
            dollars, units, is_dated = worth
            rates[currency] = Rate(
                currency=currency,
                usd_per_unit=_RATE.divide(dollars, units),
                unit_per_usd=_RATE.divide(units, dollars),
                day=table.day if is_dated else None,
            )
    return rates


def _find_worth(
    currency: str, per_euro: Mapping[str, Decimal], parities: Mapping[str, Parity], left: int
) -> tuple[Decimal, Decimal, bool] | None:
    """Return the dollars for a number of units of a currency, and whether they depend on the day."""
    if currency == DOLLAR:
        return Decimal(1), Decimal(1), False
    if currency in per_euro:
        return (per_euro[DOLLAR], per_euro[currency], True) if DOLLAR in per_euro else None
    parity = parities.get(currency)
    if parity is None or not left:
        return None
    anchor = _find_worth(parity.of, per_euro, parities, left - 1)
    if anchor is None:
        return None
    dollars, units, is_dated = anchor
    return _WIDE.multiply(dollars, parity.worth), _WIDE.multiply(units, parity.units), is_dated


def convert(money: Money, usd_per_unit: Decimal) -> Decimal:
    """Convert to US dollars, in whole cents, without trailing zeros as in the API."""
    if money.currency.code == DOLLAR and usd_per_unit == 1:
        return money.to_decimal()
    exact = _WIDE.multiply(money.amount_minor, usd_per_unit)
    cents = _WIDE.to_integral_value(_WIDE.scaleb(exact, US_DOLLAR.exponent - money.currency.exponent))
    return Money(int(cents), US_DOLLAR).to_decimal()


@cache
def load_parities() -> Mapping[str, Parity]:
    """Load the built-in parities."""
    text = files("tollhouse.rates").joinpath("data", "parities.toml").read_text(encoding="utf-8")
    return {
        currency: Parity(Decimal(row["units"]), Decimal(row["worth"]), row["of"])
        for currency, row in tomllib.loads(text).items()
    }
