"""Responses of stage's controls: faults, the issuer's journal, virtual clocks, test payment data."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from tollhouse.wire.answers import MASKED_FORM, Amount, CurrencyCode, DateTime, Instant, ResponseModel, Span

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
NOW = "Your time: ISO 8601, UTC, to the millisecond."
AHEAD = "How far it is ahead of the real one: ISO 8601, to the nearest second."


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


class ClockAnswer(ResponseModel):
    """A clock after an advance."""

    now: Instant = Field(description=NOW, examples=["2027-01-31T12:00:00.000Z"])
    ahead: Span = Field(description=AHEAD, examples=["P30D"])
    advanced: Span = Field(description="How much later it is than before this call.", examples=["P30D"])
    steps: int = Field(description="At how many instants it stopped, because something fell due or it was there.")


class DueAnswer(ResponseModel):
    """The next due item of one kind."""

    kind: Literal["authorization", "challenge", "card", "subscription", "dispute", "callback"] = Field(
        description="An authorization is captured or released, a challenge runs out, the card of a subscription is"
        " looked at, a subscription is renewed or ends, an issuer charges back, a callback is tried again."
    )
    at: Instant = Field(description="In your time: ISO 8601, UTC, to the millisecond.")


class OutlookAnswer(ResponseModel):
    """A clock, and the items that are due next."""

    now: Instant = Field(description=NOW, examples=["2027-01-31T12:00:00.000Z"])
    ahead: Span = Field(description=AHEAD, examples=["P30D"])
    next: list[DueAnswer] = Field(description="What falls due next of each kind, the earliest first.")


class TestPaymentDataAnswer(ResponseModel):
    """A card or account for tests."""

    id: int
    type: str = Field(description="The brand, or `sepa`.")
    number: str = Field(description="In clear: it buys nothing but in stage. For `sepa` an IBAN.")
    balance: Annotated[Decimal, WithJsonSchema({"type": "number"})] = Field(description="What is left on it.")
    currency: CurrencyCode = Field(description="ISO 4217. Charges in any other decline 5057.")
    allowedIps: list[str] = Field(description="Addresses of consumers that may pay with it; all when it is empty.")
    emulate3ds: bool = Field(description="Whether every payment by its holder is challenged; the code is 123456.")
    blocked: bool = Field(description="Whether charges decline 5062.")
    expired: bool = Field(description="Whether charges decline 5054, whatever date they give.")
    comment: str | None = Field(None, description="As sent.")
    transactions: int = Field(description="How many charges were approved.")
    createdAt: DateTime = Field(description="UTC, `YYYY-MM-DD hh:mm:ss`.")
    updatedAt: DateTime = Field(description="UTC, `YYYY-MM-DD hh:mm:ss`.")


class ListMeta(ResponseModel):
    """The position of this page in the list."""

    total: int = Field(description="How many there are in all.")
    offset: int
    limit: int


class TestPaymentDataListAnswer(ResponseModel):
    """A page of the list, newest first."""

    data: list[TestPaymentDataAnswer]
    meta: ListMeta
