"""Responses with the gateway's own tables: exchange rates, addresses, payment codes."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

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
        description="`YYYY-MM-DD`: the day of the reference rates. Absent for a fixed parity.",
    )


class RateListAnswer(RootModel[list[RateAnswer]]):
    """The rates of all known currencies, in alphabetic order."""


class AddressListAnswer(RootModel[list[str]]):
    """The addresses from which callbacks are sent."""


class CodeAnswer(ResponseModel):
    """The meaning of a payment code."""

    code: str = Field(description="As in `payment.code`.")
    brand: str = Field(description="The brand that this is said of; `any` for all others.")
    responseCode: str | None = Field(
        None,
        description="Of the issuer (ISO 8583, field 39); not there where the gateway decides, or it is none we know.",
    )
    text: str = Field(description="As in `payment.description`.")
    category: int | None = Field(None, description="As in `payment.codeCategory`; not there for an approval.")
    retry: Literal["never", "later", "with_changes", "with_3ds"] | None = Field(
        None, description="Whether it may be sent again; not there for an approval."
    )
    advice: str = Field(description="The same in words.")


class CodeListAnswer(ResponseModel):
    """The table of payment codes."""

    edition: str = Field(description="Names this state of the table.")
    date: str = Field(json_schema_extra={"format": "date"}, description="`YYYY-MM-DD`: when it was put together.")
    source: str = Field(description="Where it is from.")
    data: list[CodeAnswer]
