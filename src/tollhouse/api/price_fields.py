"""One charge of a schedule, as payments and products have it (public digest, section 7)."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator

from tollhouse.api.decode import Body
from tollhouse.api.money_fields import read_amount, read_currency
from tollhouse.catalog.model import Price
from tollhouse.catalog.prices import parse_offset
from tollhouse.kernel.money import Currency, Money

MAX_REPEATS = 1_000


class PriceFields(Body):
    """One charge of a schedule. The currency is read first, because the decimals of the amount depend on it."""

    currency: str = Field(min_length=3, max_length=3, description="ISO 4217.", examples=["USD"])
    amount: Annotated[Decimal, WithJsonSchema({"type": "number", "minimum": 0, "examples": [19.99]})] = Field(
        description="No more decimals than the currency has."
    )
    offset: str = Field(
        "0d", description="When, counted from the charge before: days, weeks, months or years.", examples=["30d"]
    )
    repeat: bool | int = Field(
        False, description="Again and again at its offset: without end, or so many times in all."
    )

    @field_validator("offset")
    @classmethod
    def _check_offset(cls, offset: str) -> str:
        parse_offset(offset)
        return offset

    @field_validator("amount", mode="before")
    @classmethod
    def _check_amount(cls, amount: Any, info: ValidationInfo) -> Decimal:
        return read_amount(amount, info.data.get("currency"))

    @field_validator("currency")
    @classmethod
    def _check_currency(cls, code: str) -> str:
        return read_currency(code)

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

    def to_price(self) -> Price:
        """Return the price in the words of the catalog. Raises AmountError."""
        money = Money.parse(self.amount, Currency.of(self.currency))
        return Price(parse_offset(self.offset), money, self.repeat)
