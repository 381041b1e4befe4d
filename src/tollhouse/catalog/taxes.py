"""Taxes in a price: exact checks that amount, net amount, tax and rate agree."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal

from tollhouse.catalog.model import Tax
from tollhouse.kernel.money import Money

#: Sums are rounded to whole minor units. A tax rounded for each of a few items may differ by this much.
TOLERANCE_MINOR = 1
#: Precision for twelve digits of an amount times ten of a rate, with room to spare.
_WIDE = Context(prec=60, rounding=ROUND_HALF_UP)


class TaxError(ValueError):
    """The fields of a tax contradict each other. `field` is the faulty one of `TaxTerms`."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True, slots=True)
class TaxTerms:
    """The fields of a price that describe its tax. The amount includes the tax. Every field may be missing."""

    amount: Money | None
    before: Money | None = None
    after: Money | None = None
    taxes: Money | None = None
    rate: Decimal | None = None
    name: str | None = None

    def compute(self) -> tuple[Money, Tax | None]:
        """Return the amount to charge, and the tax in it if it is known.

        Raises TaxError if the fields contradict each other.
        """
        amount = self._find_amount()
        if self.after is not None and self.after != amount:
            raise TaxError("after", "must equal the amount, which includes the taxes")
        taxes = self._find_taxes(amount)
        if taxes is None:
            return amount, None
        if taxes < 0:
            raise TaxError("before", "must not be more than the amount")
        before = amount.amount_minor - taxes
        if before < 0:
            raise TaxError("taxes", "must not be more than the amount")
        if self.before is not None and self.before.amount_minor != before:
            raise TaxError("before", "and taxes must add up to the amount")
        if self.rate is not None and abs(_apply(self.rate, before) - taxes) > TOLERANCE_MINOR:
            raise TaxError("rate", "does not match the taxes")
        return amount, Tax(taxes, self.rate, self.name)

    def _find_amount(self) -> Money:
        """Return the given amount, or compute it from the other fields."""
        known = self.amount or self.after
        if known is not None:
            return known
        if self.before is None or (self.taxes is None and self.rate is None):
            raise TaxError("amount", "is required")
        taxes = self.taxes.amount_minor if self.taxes else _apply(self.rate or Decimal(0), self.before.amount_minor)
        return Money(self.before.amount_minor + taxes, self.before.currency)

    def _find_taxes(self, amount: Money) -> int | None:
        if self.taxes is not None:
            return self.taxes.amount_minor
        if self.before is not None:
            return amount.amount_minor - self.before.amount_minor
        if self.rate is None:
            return None
        return amount.amount_minor - _round(_WIDE.divide(Decimal(amount.amount_minor), 1 + self.rate))


def _apply(rate: Decimal, before_minor: int) -> int:
    return _round(_WIDE.multiply(Decimal(before_minor), rate))


def _round(amount: Decimal) -> int:
    """Round to whole minor units, halves up."""
    return int(amount.to_integral_value(ROUND_HALF_UP))
