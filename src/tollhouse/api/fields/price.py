"""Amounts, currencies, and the charges of a schedule as requests have them (public digest, section 7)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from tollhouse.api.fields.values import TypedText
from tollhouse.api.reading.body import Body
from tollhouse.catalog.model import Price, Tax
from tollhouse.catalog.prices import find_schedule_faults, parse_offset
from tollhouse.catalog.taxes import TaxError, TaxTerms
from tollhouse.kernel.money import Currency, Money

#: Of an amount as a text. Doubles are written with many digits, of which the last ones may be noise.
AMOUNT_FORM = re.compile(r"[0-9]{1,15}(\.[0-9]{1,40})?")


def read_decimal(value: Any) -> Decimal:
    """Read a number, or a text that is one. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError("must be a number")
    if not isinstance(value, str):
        return Decimal(value)
    if not AMOUNT_FORM.fullmatch(value):
        raise ValueError("must be a number")
    return Decimal(value)


def read_amount(amount: Any, currency: str | None) -> Decimal:
    """Read an amount, a number or a text; without a currency only its form. Raises ValueError."""
    number = read_decimal(amount)
    if currency is not None:
        return Money.parse(number, Currency.of(currency)).to_decimal()
    if not number.is_finite() or number < 0:
        raise ValueError("must be 0 or more")
    return number


def read_currency(code: Any) -> str:
    """Read the code of a currency that can be paid in, in upper or lower case. Raises ValueError."""
    try:
        return Currency.parse(code if isinstance(code, str) else "").code
    except KeyError:
        raise ValueError("is no currency of ISO 4217 that can be paid in") from None


AnyCurrency = Annotated[
    str,
    BeforeValidator(read_currency),
    Field(json_schema_extra={"pattern": "^[A-Z]{3}$", "examples": ["USD"]}),
]


def check_schedule(prices: Sequence[Price]) -> None:
    """Check the prices of a field as a whole. Raises ValidationError, which names each faulty one by its index."""
    faults = find_schedule_faults(prices)
    if faults:
        raise ValidationError.from_exception_data(
            "price",
            [
                {"type": "value_error", "loc": (index,), "input": None, "ctx": {"error": ValueError(text)}}
                for index, text in faults.items()
            ],
        )


MAX_REPEATS = 1_000
#: One of these may stand for the amount.
STAND_INS = ("afterTaxes", "beforeTaxes")
TAX_FIELDS = frozenset({"beforeTaxes", "afterTaxes", "taxes", "taxRate"})

Amount = Annotated[Decimal, WithJsonSchema({"type": "number", "minimum": 0})]


class PriceFields(Body):
    """One charge of a schedule.

    The currency is read first, since the decimals of amounts depend on it; the amount after what may stand for it.
    """

    currency: AnyCurrency = Field(description="ISO 4217.")
    beforeTaxes: Amount | None = Field(None, description="The amount without its taxes.")
    afterTaxes: Amount | None = Field(None, description="The amount again, with its taxes.")
    taxes: Amount | None = Field(None, description="What of the amount is tax.")
    taxRate: Decimal | None = Field(None, ge=0, le=1, decimal_places=10, description="A fraction: 0.2 for 20 %.")
    taxName: TypedText | None = Field(None, json_schema_extra={"examples": ["VAT"]})
    amount: Amount | None = Field(
        None,
        validate_default=True,
        description="What is charged, taxes included; no more decimals than the currency has. "
        "Required, or `afterTaxes`, or `beforeTaxes` with `taxes` or `taxRate`.",
        json_schema_extra={"examples": [19.99]},
    )
    offset: str = Field(
        "0d", description="When, counted from the charge before: days, weeks, months or years.", examples=["30d"]
    )
    repeat: bool | int = Field(
        False, description="Again and again at its offset: without end, or so many times in all."
    )
    title: TypedText | None = Field(None, description="What this charge is for, in words.")
    _price: Price = PrivateAttr()

    @field_validator("offset")
    @classmethod
    def _check_offset(cls, offset: str) -> str:
        parse_offset(offset)
        return offset

    @field_validator("amount", "beforeTaxes", "afterTaxes", "taxes", mode="before")
    @classmethod
    def _check_amount(cls, amount: Any, info: ValidationInfo) -> Decimal | None:
        if amount is None:
            # A part that is faulty is not among the data: it is named for itself.
            if info.field_name == "amount" and all(info.data.get(part, 0) is None for part in STAND_INS):
                raise ValueError("is required")
            return None
        return read_amount(amount, info.data.get("currency"))

    @field_validator("repeat", mode="before")
    @classmethod
    def _check_repeat(cls, repeat: Any) -> bool | int:
        if isinstance(repeat, bool):
            return repeat
        text = str(repeat).lower() if isinstance(repeat, str | int) else ""
        if text in {"true", "false"}:
            return text == "true"
        if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= MAX_REPEATS):
            raise ValueError(f"must be true, false, or how many times, up to {MAX_REPEATS}")
        return int(text)

    @model_validator(mode="after")
    def _check_sums(self) -> Self:
        """Name the field that does not fit the others."""
        try:
            money, tax = self._settle()
            self._price = Price(parse_offset(self.offset), money, self.repeat, self.title, tax)
        except TaxError as error:
            fault: Any = {"type": "value_error", "loc": (error.field,), "input": None, "ctx": {"error": error}}
            raise ValidationError.from_exception_data("price", [fault]) from None
        return self

    def to_price(self) -> Price:
        """Return the price in the words of the catalog."""
        return self._price

    def _settle(self) -> tuple[Money, Tax | None]:
        """Return what is charged, and the tax in it. Raises TaxError."""
        amount = self._money(self.amount)
        if amount is not None and self.model_fields_set.isdisjoint(TAX_FIELDS):
            return amount, None
        terms = TaxTerms(
            amount,
            before=self._money(self.beforeTaxes),
            after=self._money(self.afterTaxes),
            taxes=self._money(self.taxes),
            rate=self.taxRate,
            name=self.taxName,
        )
        return terms.compute()

    def _money(self, amount: Decimal | None) -> Money | None:
        return None if amount is None else Money.parse(amount, Currency.of(self.currency))
