"""Responses about callbacks: the log, and replayed events."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from tollhouse.wire.answers import DateTime, ResponseModel


class IpnRecordAnswer(ResponseModel):
    """One delivery attempt. Missing values are empty texts."""

    url: str = Field(description="The URL.")
    request: str = Field(description="The body of the event: JSON, or the XML of the legacy form.")
    response: str = Field(description="The first KiB of your response.")
    orderId: str
    transactionId: str
    execTime: str = Field(description="Seconds, with three decimals.")
    httpCode: str = Field(description="The status of your response.")
    error: str = Field(description="The reason why it was not acknowledged; empty if it was.")
    attemptNumber: int = Field(description="The number of the attempt in its delivery, from 1; 0 before the first.")
    eventId: str = Field(description="The `webhook-id`.")
    deliveryNumber: int = Field(description="The number of the delivery of the event; each resend has a new one.")
    format: Literal["json", "legacy"]
    state: Literal["held", "waiting", "leased", "delivered", "failed"] = Field(
        description="The state of the delivery. In the first three, another attempt follows."
    )
    sentAt: str = Field(description="UTC, `YYYY-MM-DD hh:mm:ss`.")


class OrderIpnAnswer(IpnRecordAnswer):
    """The newest delivery attempt for an order, and the previous ones."""

    records: list[IpnRecordAnswer] = Field(description="All attempts, newest first, 100 at most.")


class EventAnswer(ResponseModel):
    """One event."""

    id: str = Field(description="The `webhook-id`.")
    sequence: int = Field(description="The `webhook-sequence`: the number of the event, from 1 without a gap.")
    kind: str = Field(description="The kind of the event: `sale`, `auth`, `credit` and so on.")
    status: str = Field(description="The outcome.")
    createdAt: DateTime = Field(description="UTC, `YYYY-MM-DD hh:mm:ss`.")
    body: Annotated[Any, WithJsonSchema({"type": "object"})] = Field(
        description="The body of its callback, byte for byte."
    )


class EventListMeta(ResponseModel):
    """The position of the next page."""

    limit: int = Field(description="As requested.")
    after: int = Field(description="The cursor for the next page, also for later events.")
    hasMore: bool = Field(description="Whether there are more events now.")


class EventListAnswer(ResponseModel):
    """Events in the order of their numbers."""

    data: list[EventAnswer]
    meta: EventListMeta


class ResentAnswer(ResponseModel):
    """The progress of a call that resends many callbacks."""

    resent: int = Field(description="The number of callbacks sent again.")
    skipped: int = Field(description="The number of callbacks left out, because their event was delivered 100 times.")
    after: int = Field(description="The number of the last event of this part; continue after it.")
    hasMore: bool = Field(description="Whether there are more events in the range.")
