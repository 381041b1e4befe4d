"""Money: whole minor units of one currency, never a float.

Currencies and their exponents come from the `iso4217` package, which ships the ISO 4217 tables. These tables also list
codes that cannot be used for payments: precious metals, accounting units, funds, tests. Requests cannot use those.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from functools import lru_cache

import iso4217
from msgspec import Struct

#: The largest accepted amount, in minor units: twelve digits, as in ISO 8583 field 4.
MAX_AMOUNT_MINOR = 999_999_999_999
MAX_AMOUNT_DIGITS = len(str(MAX_AMOUNT_MINOR))

#: Retired codes that public clients and shops still send, with their former exponents in ISO 4217.
RETIRED_EXPONENTS = {"BYR": 0} | dict.fromkeys(
    ("ANG", "BGN", "CUC", "EEK", "HRK", "LTL", "LVL", "MRO", "SLL", "STD", "VEF", "ZWL"), 2
)

#: Currencies of several countries. Every other code that begins with X is not a currency (ISO 4217, list one).
SHARED_CURRENCIES = frozenset({"XAF", "XCD", "XCG", "XOF", "XPF"})
#: Units of account of single countries, which are used in contracts and not for payments (ISO 4217, list two).
FUND_CODES = frozenset({"BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW"})

#: A difference of at most this many doubles between an amount and a minor unit is an artifact of arithmetic with
#: doubles.
MAX_DOUBLE_STEPS = 8

#: Arithmetic that rejects rounding. An accepted amount needs a dozen digits; the rest absorbs artifacts of doubles.
_EXACT = Context(prec=60, traps=[Inexact])


class AmountError(ValueError):
    """The amount is invalid in this currency. The message gives the reason without the amount."""


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency of ISO 4217. `exponent` is the number of its decimals, 0 to 4."""

    code: str
    exponent: int

    @classmethod
    def of(cls, code: str) -> Currency:
        """Return the currency with this alphabetic code, in upper case. Raises KeyError if it does not exist.

        Used for stored money, including currencies that are no longer accepted.
        """
        return _currency(code)

    @classmethod
    def parse(cls, text: str) -> Currency:
        """Parse a currency that payments may use, in any case. Raises KeyError for any other text."""
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


class Money(Struct, frozen=True):
    """An amount of 0 or more in the minor units of its currency."""

    amount_minor: int
    currency: Currency

    @classmethod
    def parse(cls, amount: Decimal, currency: Currency) -> Money:
        """Parse a decimal amount exactly. Trailing zeros are not decimals, so `1000.0` JPY is valid.

        An amount within a few doubles of a minor unit is that minor unit: in most languages 0.1 + 0.2 is
        0.30000000000000004. Raises AmountError if the amount is negative, has more decimals than the currency, or is
        above `MAX_AMOUNT_MINOR`.
        """
        if not amount.is_finite() or amount < 0:
            raise AmountError("must be 0 or more")
        if amount.adjusted() + currency.exponent > MAX_AMOUNT_DIGITS:
            raise AmountError("is too large")
        minor = _find_minor(amount, currency.exponent)
        if minor is None:
            raise AmountError(f"has more decimals than {currency.code}, which has {currency.exponent}")
        if minor > MAX_AMOUNT_MINOR:
            raise AmountError("is too large")
        return cls(minor, currency)

    def to_decimal(self) -> Decimal:
        """Return the amount for the API, without trailing zeros: 19.99, 10, 9.9."""
        exact = Decimal(self.amount_minor).scaleb(-self.currency.exponent)
        whole = exact.to_integral_value()
        return whole if exact == whole else exact.normalize()

    def to_text(self) -> str:
        """Return the amount for people, with all decimals of its currency: 1,019.90 USD, 1,000 JPY."""
        return f"{Decimal(self.amount_minor).scaleb(-self.currency.exponent):,f} {self.currency.code}"


def _find_minor(amount: Decimal, exponent: int) -> int | None:
    """Return the amount in minor units, or None if it lies between two."""
    try:
        shifted = _EXACT.scaleb(amount, exponent)
    except Inexact:
        return None
    nearest = shifted.to_integral_value()
    if shifted == nearest or _count_double_steps(amount, nearest.scaleb(-exponent)) <= MAX_DOUBLE_STEPS:
        return int(nearest)
    return None


def _count_double_steps(one: Decimal, other: Decimal) -> float:
    """Return the number of doubles between two amounts that are not negative, counting one of them."""
    low, high = sorted((float(one), float(other)))
    return (high - low) / math.ulp(low)
