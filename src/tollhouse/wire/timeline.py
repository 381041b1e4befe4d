"""The response with the timeline of a transaction."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tollhouse.wire.answers import Instant, ResponseModel


class TimelineEntry(ResponseModel):
    """One event of a timeline."""

    at: Instant = Field(description="ISO 8601, UTC, to the millisecond.")
    kind: Literal["request", "rule", "route", "3ds", "acquirer", "state", "ledger", "callback"]
    text: str = Field(description="What happened, in a sentence for people; it may change.")
    facts: dict[str, str] = Field(description="What it is about, by name.")


class TimelineAnswer(ResponseModel):
    """The events of a transaction."""

    orderId: str
    transactionId: str
    data: list[TimelineEntry] = Field(description="In the order in which it happened.")
