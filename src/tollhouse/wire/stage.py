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
AHEAD = "The distance from the real time: ISO 8601, to the nearest second."


class FaultAnswer(ResponseModel):
    """A pending fault."""

    fault: FaultName = Field(description="The fault.")
    calls: int = Field(description="The number of messages.")
    seconds: Annotated[Any, WithJsonSchema({"type": "number"})] = Field(
        None, description="The delay in seconds, with `latency`."
    )
    card: str | None = Field(None, description="Only messages with this card.", pattern=MASKED_FORM)
    amount: Amount | None = Field(None, description="Only messages of this amount.")
    currency: CurrencyCode | None = None


class FaultListAnswer(ResponseModel):
    """The pending faults, oldest first."""

    faults: list[FaultAnswer]


class JournalEntry(ResponseModel):
    """The issuer's record of one message."""

    reference: str = Field(description="The acquirer's reference.")
    kind: str = Field(description="`auth`, `sale`, `capture`, `void`, `credit`, ...")
    originalReference: TextOrNull = Field(description="The authorization to which it belongs.")
    number: TextOrNull = Field(description="The masked card number.")
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
    deliveries: int = Field(description="The number of times it arrived.")
    receivedAt: str = Field(description="The real time.")
    reversedAt: TextOrNull
    voidedAt: TextOrNull


class JournalAnswer(ResponseModel):
    """The issuer's journal, newest first."""

    entries: list[JournalEntry]


class ClockAnswer(ResponseModel):
    """A clock after an advance."""

    now: Instant = Field(description=NOW, examples=["2027-01-31T12:00:00.000Z"])
    ahead: Span = Field(description=AHEAD, examples=["P30D"])
    advanced: Span = Field(description="The time by which this call advanced the clock.", examples=["P30D"])
    steps: int = Field(description="The number of times at which the clock stopped.")


class DueAnswer(ResponseModel):
    """The next due item of one kind."""

    kind: Literal["authorization", "challenge", "card", "subscription", "dispute", "callback"] = Field(
        description="The capture or release of an authorization, the expiry of a challenge, the check of a "
        "subscription's card, a renewal or the end of a subscription, a dispute, or the retry of a callback."
    )
    at: Instant = Field(description="In your time: ISO 8601, UTC, to the millisecond.")


class OutlookAnswer(ResponseModel):
    """A clock, and the items that are due next."""

    now: Instant = Field(description=NOW, examples=["2027-01-31T12:00:00.000Z"])
    ahead: Span = Field(description=AHEAD, examples=["P30D"])
    next: list[DueAnswer] = Field(description="The next due time of each kind, earliest first.")


class TestPaymentDataAnswer(ResponseModel):
    """A card or account for tests."""

    id: int
    type: str = Field(description="The brand, or `sepa`.")
    number: str = Field(description="The number, which works in stage only. For `sepa` an IBAN.")
    balance: Annotated[Decimal, WithJsonSchema({"type": "number"})] = Field(description="The balance.")
    currency: CurrencyCode = Field(description="ISO 4217. Charges in any other decline 5057.")
    allowedIps: list[str] = Field(description="IP addresses of consumers that may pay with it; empty for all.")
    emulate3ds: bool = Field(description="Whether every payment by the cardholder is challenged; the code is 123456.")
    blocked: bool = Field(description="Whether charges are declined with 5062.")
    expired: bool = Field(description="Whether charges are declined with 5054, whatever their expiry date.")
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
