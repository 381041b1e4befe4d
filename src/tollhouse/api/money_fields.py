"""Amounts, currencies and schedules as requests have them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from tollhouse.catalog.model import Price
from tollhouse.catalog.prices import find_schedule_faults
from tollhouse.kernel.money import Currency, Money

#: Of an amount as a text. Doubles are written with many digits, of which the last ones may be noise.
AMOUNT_FORM = re.compile(r"[0-9]{1,15}(\.[0-9]{1,40})?")


def read_number(value: Any) -> Decimal:
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
    number = read_number(amount)
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
