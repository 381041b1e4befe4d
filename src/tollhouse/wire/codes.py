"""Responses about payment codes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tollhouse.wire.answers import ResponseModel


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
