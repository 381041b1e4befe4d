"""What a currency is worth in US dollars. Pure.

Rates come from a table of one day, so many units for one euro, crossed over the euro; and from parities, which do not
change with the day. Rounding, all of it: a rate has twelve significant digits, an amount in dollars whole cents, both
rounded half up. So whoever multiplies an amount by the rate that the API gives gets the `amountUsd` that the API gives.
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
#: Wide enough that nothing is rounded before the end: a rate has 12 digits, an amount 12.
_WIDE = Context(prec=60, rounding=ROUND_HALF_UP)

#: How many parities may lead from one currency to another until a currency of the table is reached.
MAX_CHAIN_LENGTH = 3


@dataclass(frozen=True, slots=True)
class Table:
    """Reference rates of one day: how many units of each currency one euro is worth."""

    day: date
    per_euro: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Parity:
    """So many `units` of a currency are, by law or treaty, so many (`worth`) of the currency `of`."""

    units: Decimal
    worth: Decimal
    of: str


@dataclass(frozen=True, slots=True)
class Rate:
    """What a currency is worth. `day` is the day of the table that it rests on, or None where no table is needed."""

    currency: str
    usd_per_unit: Decimal
    unit_per_usd: Decimal
    day: date | None


def build_rates(table: Table, parities: Mapping[str, Parity]) -> dict[str, Rate]:
    """Return the rate of every currency that the table or a parity reaches, by its code, in alphabetic order."""
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
    """Return so many dollars, for so many units of a currency, and whether that depends on the day."""
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
    """Convert to US dollars, in whole cents, without trailing zeros as the wire has it."""
    if money.currency.code == DOLLAR and usd_per_unit == 1:
        return money.to_decimal()
    exact = _WIDE.multiply(money.amount_minor, usd_per_unit)
    cents = _WIDE.to_integral_value(_WIDE.scaleb(exact, US_DOLLAR.exponent - money.currency.exponent))
    return Money(int(cents), US_DOLLAR).to_decimal()


@cache
def load_parities() -> Mapping[str, Parity]:
    """Read the parities that come with the program."""
    text = files("tollhouse.rates").joinpath("data", "parities.toml").read_text(encoding="utf-8")
    return {
        currency: Parity(Decimal(row["units"]), Decimal(row["worth"]), row["of"])
        for currency, row in tomllib.loads(text).items()
    }
