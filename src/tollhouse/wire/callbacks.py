"""Responses about callbacks: the log, and replayed events."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from tollhouse.wire.answers import DateTime, ResponseModel


class IpnRecordAnswer(ResponseModel):
    """One delivery attempt. Missing values are empty texts."""

    url: str = Field(description="Where it went.")
    request: str = Field(description="The body of the event: JSON, or the XML of the legacy form.")
    response: str = Field(description="The first KiB of your answer.")
    orderId: str
    transactionId: str
    execTime: str = Field(description="Seconds, with three decimals.")
    httpCode: str = Field(description="The status of your answer.")
    error: str = Field(description="A word that says why it was not acknowledged; empty when it was.")
    attemptNumber: int = Field(description="Counts the attempts of one delivery from 1; 0 before the first.")
    eventId: str = Field(description="The `webhook-id`.")
    deliveryNumber: int = Field(description="Which delivery of the event it is; each resend has a new one.")
    format: Literal["json", "legacy"]
    state: Literal["held", "waiting", "leased", "delivered", "failed"] = Field(
        description="Of the delivery: on its way in the first three, which another attempt follows."
    )
    sentAt: str = Field(description="UTC, `YYYY-MM-DD hh:mm:ss`.")


class OrderIpnAnswer(IpnRecordAnswer):
    """The newest delivery attempt for an order, and the previous ones."""

    records: list[IpnRecordAnswer] = Field(description="All attempts, newest first, 100 at most.")


class EventAnswer(ResponseModel):
    """One event."""

    id: str = Field(description="The `webhook-id`.")
    sequence: int = Field(description="The `webhook-sequence`: counts your events from 1 without a gap.")
    kind: str = Field(description="What it is about: `sale`, `auth`, `credit` and so on.")
    status: str = Field(description="How it ended.")
    createdAt: DateTime = Field(description="UTC, `YYYY-MM-DD hh:mm:ss`.")
    body: Annotated[Any, WithJsonSchema({"type": "object"})] = Field(
        description="The body of its callback, byte for byte."
    )


class EventListMeta(ResponseModel):
    """The position of the next page."""

    limit: int = Field(description="As asked for.")
    after: int = Field(description="Ask with this for the next page; also later, when there is more.")
    hasMore: bool = Field(description="Whether there is more already.")


class EventListAnswer(ResponseModel):
    """Events in the order of their numbers."""

    data: list[EventAnswer]
    meta: EventListMeta


class ResentAnswer(ResponseModel):
    """The progress of a call that resends many callbacks."""

    resent: int = Field(description="Callbacks that are on their way again.")
    skipped: int = Field(
        description="Callbacks that were left out because their event was delivered 100 times already."
    )
    after: int = Field(description="The number of the last event that was looked at; go on after it.")
    hasMore: bool = Field(description="Whether there are more events in the range.")
