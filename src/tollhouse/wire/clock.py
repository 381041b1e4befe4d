"""Responses about a merchant's virtual clock."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tollhouse.wire.answers import Instant, ResponseModel, Span

NOW = "Your time: ISO 8601, UTC, to the millisecond."
AHEAD = "How far it is ahead of the real one: ISO 8601, to the nearest second."


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
