"""Money: whole minor units of one currency, never a float.

Currencies and their exponents come from the `iso4217` package, which ships the ISO 4217 tables. Their table also lists
codes that nobody can pay with: precious metals, accounting units, funds, tests. Requests cannot use those.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from functools import lru_cache

import iso4217

#: The largest amount taken, in minor units: twelve digits, as in ISO 8583 field 4.
MAX_AMOUNT_MINOR = 999_999_999_999

#: Retired codes that public clients and shops still send, with the exponents that ISO 4217 gave them.
RETIRED_EXPONENTS = {"BYR": 0} | dict.fromkeys(
    ("ANG", "BGN", "CUC", "EEK", "HRK", "LTL", "LVL", "MRO", "SLL", "STD", "VEF", "ZWL"), 2
)

#: Currencies of several countries. Every other code that begins with X is no money (ISO 4217, list one).
SHARED_CURRENCIES = frozenset({"XAF", "XCD", "XCG", "XOF", "XPF"})
#: Units of account of single countries, in which contracts are counted and nobody is paid (ISO 4217, list two).
FUND_CODES = frozenset({"BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW"})

#: Steps between an amount and a minor unit, as doubles, that are the traces of arithmetic with doubles.
MAX_DOUBLE_STEPS = 8

#: Arithmetic that refuses to round. An amount below the largest needs a dozen digits; the rest are traces of doubles.
_EXACT = Context(prec=60, traps=[Inexact])


class AmountError(ValueError):
    """The amount cannot be money of this currency; the message says why, without the amount."""


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency of ISO 4217. `exponent` is the number of its decimals, 0 to 4."""

    code: str
    exponent: int

    @classmethod
    def of(cls, code: str) -> Currency:
        """Return the currency with this alphabetic code, in upper case. Raises KeyError when there is none.

        Stored money is read by this, whatever it was once taken in.
        """
        return _currency(code)

    @classmethod
    def parse(cls, text: str) -> Currency:
        """Read a currency that can be paid in, in upper or lower case. Raises KeyError when it is none."""
        code = text.upper()
        is_money = not code.startswith("X") or code in SHARED_CURRENCIES
        if not text.isascii() or not is_money or code in FUND_CODES:
            raise KeyError(code)
        return _currency(code)


@lru_cache(maxsize=512)
def _currency(code: str) -> Currency:
    if code in RETIRED_EXPONENTS:
        return Currency(code, RETIRED_EXPONENTS[code])
    try:
        known = iso4217.Currency(code)
    except ValueError:
        raise KeyError(code) from None
    return Currency(code, known.exponent or 0)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of 0 or more in the minor units of its currency."""

    amount_minor: int
    currency: Currency

    @classmethod
    def parse(cls, amount: Decimal, currency: Currency) -> Money:
        """Read a decimal amount exactly: trailing zeros are no decimals, so `1000.0` JPY is right.

        An amount that differs from a minor unit by a few steps of a double is that minor unit: 0.30000000000000004 is
        what 0.1 + 0.2 gives in most languages. Raises AmountError when it is negative, has more decimals than the
        currency, or is above `MAX_AMOUNT_MINOR`.
        """
        if not amount.is_finite() or amount < 0:
            raise AmountError("must be 0 or more")
        if amount.adjusted() + currency.exponent > len(str(MAX_AMOUNT_MINOR)):
            raise AmountError("is too large")
        minor = _find_minor(amount, currency.exponent)
        if minor is None:
            raise AmountError(f"has more decimals than {currency.code} has, which are {currency.exponent}")
        if minor > MAX_AMOUNT_MINOR:
            raise AmountError("is too large")
        return cls(minor, currency)

    def to_decimal(self) -> Decimal:
        """Give the amount as the wire has it, without trailing zeros: 19.99, 10, 9.9."""
        exact = Decimal(self.amount_minor).scaleb(-self.currency.exponent)
        whole = exact.to_integral_value()
        return whole if exact == whole else exact.normalize()

    def to_text(self) -> str:
        """Give the amount for people, with all decimals of its currency: 1,019.90 USD, 1,000 JPY."""
        return f"{Decimal(self.amount_minor).scaleb(-self.currency.exponent):,f} {self.currency.code}"


def _find_minor(amount: Decimal, exponent: int) -> int | None:
    """Return the minor units that an amount is, or None if it lies between two."""
    try:
        shifted = _EXACT.scaleb(amount, exponent)
    except Inexact:
        return None
    nearest = shifted.to_integral_value()
    if shifted == nearest or _count_double_steps(amount, nearest.scaleb(-exponent)) <= MAX_DOUBLE_STEPS:
        return int(nearest)
    return None


def _count_double_steps(one: Decimal, other: Decimal) -> float:
    """Return how many doubles lie between two amounts that are not negative, one of them counted."""
    low, high = sorted((float(one), float(other)))
    return (high - low) / math.ulp(low)
