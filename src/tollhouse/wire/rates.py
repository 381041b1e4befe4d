"""Responses about exchange rates and about the gateway's addresses (wire contract, section 4.14)."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field, RootModel, WithJsonSchema

from tollhouse.wire.answers import ResponseModel

Worth = Annotated[Decimal, WithJsonSchema({"type": "number", "exclusiveMinimum": 0})]


class RateAnswer(ResponseModel):
    """The value of a currency in US dollars. Twelve significant digits, rounded half up."""

    iso3: str = Field(description="ISO 4217.", pattern="^[A-Z]{3}$")
    usdPerUnit: Worth = Field(description="US dollars for one unit. An amount times this, in cents, is `amountUsd`.")
    unitPerUsd: Worth = Field(description="Units for one US dollar.")
    date: str | None = Field(
        None,
        json_schema_extra={"format": "date"},
        description="`YYYY-MM-DD`: the day of the reference rates. Not there where a fixed parity says it.",
    )


class RateListAnswer(RootModel[list[RateAnswer]]):
    """The rates of all known currencies, in alphabetic order."""


class AddressListAnswer(RootModel[list[str]]):
    """The addresses from which callbacks are sent."""
