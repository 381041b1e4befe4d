"""Money: whole minor units of one currency, never a float.

Currencies and their exponents come from the `iso4217` package, which ships the ISO 4217 tables.
"""

from __future__ import annotations

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


#: Arithmetic that refuses to round. An amount below the largest needs a dozen digits; what has more is none.
_EXACT = Context(prec=28, traps=[Inexact])


class AmountError(ValueError):
    """The amount cannot be money of this currency; the message says why, without the amount."""


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency of ISO 4217. `exponent` is the number of its decimals, 0 to 4."""

    code: str
    exponent: int

    @classmethod
    def of(cls, code: str) -> Currency:
        """Return the currency with this alphabetic code, in upper case. Raises KeyError when there is none."""
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

        Raises AmountError when it is negative, has more decimals than the currency, or is above `MAX_AMOUNT_MINOR`.
        """
        if not amount.is_finite() or amount < 0:
            raise AmountError("must be 0 or more")
        if amount.adjusted() + currency.exponent > len(str(MAX_AMOUNT_MINOR)):
            raise AmountError("is too large")
        minor = _shift(amount, currency.exponent)
        if minor is None or minor != minor.to_integral_value():
            raise AmountError(f"has more decimals than {currency.code} has, which are {currency.exponent}")
        if minor > MAX_AMOUNT_MINOR:
            raise AmountError("is too large")
        return cls(int(minor), currency)

    def to_decimal(self) -> Decimal:
        """Give the amount as the wire has it, without trailing zeros: 19.99, 10, 9.9."""
        exact = Decimal(self.amount_minor).scaleb(-self.currency.exponent)
        whole = exact.to_integral_value()
        return whole if exact == whole else exact.normalize()

    def to_text(self) -> str:
        """Give the amount for people, with all decimals of its currency: 1,019.90 USD, 1,000 JPY."""
        return f"{Decimal(self.amount_minor).scaleb(-self.currency.exponent):,f} {self.currency.code}"


def _shift(amount: Decimal, exponent: int) -> Decimal | None:
    """Move the point, or return None where digits would be lost."""
    try:
        return _EXACT.scaleb(amount, exponent)
    except Inexact:
        return None
