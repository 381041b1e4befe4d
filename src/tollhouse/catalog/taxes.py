"""Taxes in a price: what was said of them has to add up to what is charged. Pure and exact."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal

from tollhouse.catalog.model import Tax
from tollhouse.kernel.money import Money

#: Sums are rounded to whole minor units; a tax that was rounded for each of a few things may be off by this much.
TOLERANCE_MINOR = 1
#: Twelve digits of an amount times ten of a rate, with plenty to spare.
_WIDE = Context(prec=60, rounding=ROUND_HALF_UP)


class TaxError(ValueError):
    """What was said of a tax does not fit. `field` is the field at fault, by the name of the wire."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True, slots=True)
class TaxTerms:
    """What a price says of its tax. The amount is what is charged, tax included; each of the others may be missing."""

    amount: Money | None
    before: Money | None = None
    after: Money | None = None
    taxes: Money | None = None
    rate: Decimal | None = None
    name: str | None = None

    def settle(self) -> tuple[Money, Tax | None]:
        """Return what is charged, and the tax in it if anything tells. Raises TaxError where the parts contradict."""
        amount = self._find_amount()
        if self.after is not None and self.after != amount:
            raise TaxError("afterTaxes", "must be the amount, which has the taxes in it")
        taxes = self._find_taxes(amount)
        if taxes is None:
            return amount, None
        if taxes < 0:
            raise TaxError("beforeTaxes", "must not be more than the amount")
        before = amount.amount_minor - taxes
        if before < 0:
            raise TaxError("taxes", "must not be more than the amount")
        if self.before is not None and self.before.amount_minor != before:
            raise TaxError("beforeTaxes", "and taxes must add up to the amount")
        if self.rate is not None and abs(_apply(self.rate, before) - taxes) > TOLERANCE_MINOR:
            raise TaxError("taxRate", "does not lead to these taxes")
        return amount, Tax(taxes, self.rate, self.name)

    def _find_amount(self) -> Money:
        """Return the amount: as given, or what the parts make of it."""
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
