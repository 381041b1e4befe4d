"""Amounts, currencies and schedules as requests have them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from tollhouse.catalog.model import Price
from tollhouse.catalog.prices import find_schedule_faults
from tollhouse.kernel.money import Currency, Money

AMOUNT_FORM = re.compile(r"[0-9]{1,15}(\.[0-9]{1,10})?")


def read_amount(amount: Any, currency: str | None) -> Decimal:
    """Read an amount, a number or a text; without a currency only its form. Raises ValueError."""
    if isinstance(amount, bool) or not isinstance(amount, int | str | Decimal):
        raise ValueError("must be a number")
    if isinstance(amount, str) and not AMOUNT_FORM.fullmatch(amount):
        raise ValueError("must be a number")
    number = Decimal(amount)
    if currency is not None:
        Money.parse(number, Currency.of(currency))
    elif number < 0:
        raise ValueError("must be 0 or more")
    return number


def read_currency(code: str) -> str:
    """Read the code of a currency. Raises ValueError."""
    try:
        Currency.of(code)
    except KeyError:
        raise ValueError("is no currency of ISO 4217") from None
    return code


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
