"""Responses of stage's controls: pending faults, and the issuer's journal."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from tollhouse.wire.answers import MASKED_FORM, Amount, CurrencyCode, ResponseModel

FaultName = Literal["latency", "dropBefore", "dropAfter", "duplicate"]

# The journal belongs to the issuer and is shown unchanged, with null for missing values.
TextOrNull = Annotated[str | None, WithJsonSchema({"type": ["string", "null"]})]
NumberOrNull = Annotated[int | None, WithJsonSchema({"type": ["integer", "null"]})]
AmountOrNull = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": ["object", "null"],
            "properties": {"minor": {"type": "integer"}, "currency": {"type": "string"}},
            "required": ["minor", "currency"],
        }
    ),
]


class FaultAnswer(ResponseModel):
    """A pending fault."""

    fault: FaultName = Field(description="What will happen.")
    calls: int = Field(description="To how many messages.")
    seconds: Annotated[Any, WithJsonSchema({"type": "number"})] = Field(None, description="How late; with `latency`.")
    card: str | None = Field(None, description="Only to messages about this card.", pattern=MASKED_FORM)
    amount: Amount | None = Field(None, description="Only to messages of this amount.")
    currency: CurrencyCode | None = None


class FaultListAnswer(ResponseModel):
    """The pending faults, oldest first."""

    faults: list[FaultAnswer]


class JournalEntry(ResponseModel):
    """The issuer's record of one message."""

    reference: str = Field(description="The acquirer's reference.")
    kind: str = Field(description="`auth`, `sale`, `capture`, `void`, `credit`, ...")
    originalReference: TextOrNull = Field(description="The authorization that it belongs to.")
    number: TextOrNull = Field(description="The card as it may be shown.")
    card: TextOrNull = Field(description="The name of a published test card.")
    amount: AmountOrNull = Field(description="In minor units.")
    approved: bool
    responseCode: TextOrNull = Field(description="Field 39 of ISO 8583.")
    adviceCode: TextOrNull
    approvalCode: TextOrNull
    networkTransactionId: TextOrNull
    agreement: TextOrNull
    capturedMinor: NumberOrNull
    releasedMinor: NumberOrNull
    creditedMinor: NumberOrNull
    cavv: TextOrNull
    deliveries: int = Field(description="How often it arrived.")
    receivedAt: str = Field(description="In real time.")
    reversedAt: TextOrNull
    voidedAt: TextOrNull


class JournalAnswer(ResponseModel):
    """The issuer's journal, newest first."""

    entries: list[JournalEntry]
