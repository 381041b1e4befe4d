"""Amounts, currencies, and the charges of a schedule as requests have them (public digest, section 7)."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import core_schema

from tollhouse.api.fields.values import TypedText
from tollhouse.api.reading.body import Body, Canonical
from tollhouse.catalog.model import Price
from tollhouse.catalog.prices import MAX_PRICES, find_schedule_faults, parse_offset
from tollhouse.catalog.taxes import TaxError, TaxTerms
from tollhouse.kernel.money import Currency, Money

#: Maximum length of an amount as a text. Doubles are written with many digits, the last of which may be noise.
AMOUNT_FORM = re.compile(r"[0-9]{1,15}(\.[0-9]{1,40})?")


def read_decimal(value: Any) -> Decimal:
    """Read a number, or a numeric text. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError("must be a number")
    if not isinstance(value, str):
        return Decimal(value)
    if not AMOUNT_FORM.fullmatch(value):
        raise ValueError("must be a number")
    return Decimal(value)


def read_amount(amount: Any, currency: str | None) -> Decimal:
    """Read an amount, given as a number or a text. Without a currency, check only its form. Raises ValueError."""
    number = read_decimal(amount)
    if currency is not None:
        return Money.parse(number, Currency.of(currency)).to_decimal()
    if not number.is_finite() or number < 0:
        raise ValueError("must be 0 or more")
    return number


def read_currency(code: Any) -> str:
    """Read the code of a supported currency, in upper or lower case. Raises ValueError."""
    try:
        return Currency.parse(code if isinstance(code, str) else "").code
    except KeyError:
        raise ValueError("is not a supported currency of ISO 4217") from None


AnyCurrency = Annotated[
    str, BeforeValidator(read_currency), Field(json_schema_extra={"pattern": "^[A-Z]{3}$", "examples": ["USD"]})
]


MAX_REPEATS = 1_000
#: Fields that can replace the amount.
STAND_INS = ("afterTaxes", "beforeTaxes")
#: An offset within the limit of every unit.
SHORT_OFFSET_FORM = "^[0-9]{1,2}[dwmy]$"
#: The names of the fields that `TaxTerms` names otherwise.
TAX_NAMES = {"before": "beforeTaxes", "after": "afterTaxes", "rate": "taxRate"}


def _check_offset(offset: str) -> str:
    parse_offset(offset)
    return offset


def _read_amount(amount: Any, info: ValidationInfo) -> Decimal | None:
    if amount is None:
        # An invalid field is not in the data; it has an error of its own.
        if info.field_name == "amount" and all(info.data.get(part, 0) is None for part in STAND_INS):
            raise ValueError("is required")
        return None
    return read_amount(amount, info.data.get("currency"))


def _read_repeat(repeat: Any) -> bool | int:
    if isinstance(repeat, bool):
        return repeat
    text = str(repeat).lower() if isinstance(repeat, str | int) else ""
    if text in {"true", "false"}:
        return text == "true"
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= MAX_REPEATS):
        raise ValueError(f"must be true, false, or the number of times, up to {MAX_REPEATS}")
    return int(text)


#: The schema of an amount, a number. The model checks it by its currency.
_NUMBER = core_schema.union_schema(
    [
        core_schema.is_instance_schema(Decimal),
        core_schema.no_info_after_validator_function(Decimal, core_schema.int_schema()),
    ],
    mode="left_to_right",
)
_REPEAT = core_schema.union_schema(
    [core_schema.bool_schema(), core_schema.int_schema(ge=0, le=MAX_REPEATS)], mode="left_to_right"
)

Amount = Annotated[
    Annotated[Decimal, WithJsonSchema({"type": "number", "minimum": 0})] | None,
    BeforeValidator(_read_amount),
    Canonical(_NUMBER),
]
OffsetText = Annotated[str, AfterValidator(_check_offset), Canonical(core_schema.str_schema(pattern=SHORT_OFFSET_FORM))]
Repeat = Annotated[bool | int, BeforeValidator(_read_repeat), Canonical(_REPEAT)]


class PriceFields(Body):
    """One charge of a schedule.

    The currency is read first, because the decimals of amounts depend on it; the amount after its replacements.
    """

    currency: AnyCurrency = Field(description="ISO 4217.")
    beforeTaxes: Amount = Field(None, description="The amount without its taxes.")
    afterTaxes: Amount = Field(None, description="The amount with its taxes.")
    taxes: Amount = Field(None, description="The part of the amount that is tax.")
    taxRate: Decimal | None = Field(None, ge=0, le=1, decimal_places=10, description="A fraction: 0.2 for 20 %.")
    taxName: TypedText | None = Field(None, json_schema_extra={"examples": ["VAT"]})
    amount: Amount = Field(
        None,
        validate_default=True,
        description="The amount charged, taxes included, with no more decimals than the currency has. "
        "Required, or `afterTaxes`, or `beforeTaxes` with `taxes` or `taxRate`.",
        json_schema_extra={"examples": [19.99]},
    )
    offset: OffsetText = Field(
        "0d", description="The time since the previous charge: days, weeks, months or years.", examples=["30d"]
    )
    repeat: Repeat = Field(False, description="Whether it repeats at its offset: without end, or this number of times.")
    title: TypedText | None = Field(None, description="The purpose of this charge.")

    @model_validator(mode="after")
    def _check_sums(self) -> Self:
        """Name the field that contradicts the others."""
        try:
            self.price  # noqa: B018 - which is kept
        except TaxError as error:
            fault: Any = {
                "type": "value_error",
                "loc": (TAX_NAMES.get(error.field, error.field),),
                "input": None,
                "ctx": {"error": error},
            }
            raise ValidationError.from_exception_data("price", [fault]) from None
        return self

    @cached_property
    def price(self) -> Price:
        """The price in the terms of the catalog. Raises TaxError."""
        currency = Currency.of(self.currency)
        amount, tax = _parse(self.amount, currency), None
        parts = (self.beforeTaxes, self.afterTaxes, self.taxes)
        if amount is None or self.taxRate is not None or parts != (None, None, None):
            before, after, taxes = (_parse(part, currency) for part in parts)
            terms = TaxTerms(amount, before=before, after=after, taxes=taxes, rate=self.taxRate, name=self.taxName)
            amount, tax = terms.compute()
        return Price(parse_offset(self.offset), amount, self.repeat, self.title, tax)


def _parse(amount: Decimal | None, currency: Currency) -> Money | None:
    return None if amount is None else Money.parse(amount, currency)


def _check_schedule(prices: list[PriceFields]) -> list[PriceFields]:
    """Check the prices of a field as a whole. Raises ValidationError, which names each faulty one by its index."""
    faults = find_schedule_faults([price.price for price in prices])
    if faults:
        errors: list[Any] = [
            {"type": "value_error", "loc": (index,), "input": None, "ctx": {"error": ValueError(text)}}
            for index, text in faults.items()
        ]
        raise ValidationError.from_exception_data("price", errors)
    return prices


Schedule = Annotated[list[PriceFields], Field(max_length=MAX_PRICES), AfterValidator(_check_schedule)]
