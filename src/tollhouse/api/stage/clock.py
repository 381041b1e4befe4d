"""`/stage/clock`: a merchant's virtual clock. Stage only."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Protocol

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator

from tollhouse.api.fields.values import Moment
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body
from tollhouse.api.reading.requests import read_request
from tollhouse.catalog.model import Offset
from tollhouse.catalog.prices import OffsetError, add_offset, parse_offset
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.errors import Invalid
from tollhouse.wire.render import render, render_duration, render_instant
from tollhouse.wire.stage import ClockAnswer, DueAnswer, OutlookAnswer

MAX_BODY_BYTES = 8 * 1024

#: The maximum distance of one call, and the end of the calendar.
MAX_ADVANCE = Offset(20, "y")
LATEST = datetime(3000, 1, 1, tzinfo=UTC)

#: Hours, minutes and seconds; `m` in an offset is months.
DURATION_FORM = re.compile(r"PT(?=[0-9])(?:([0-9]{1,6})H)?(?:([0-9]{1,7})M)?(?:([0-9]{1,9})S)?")
ADVANCE_TEXT = "must be an offset such as 30d, 2w, 1m (a month), 1y, or hours, minutes and seconds: PT36H, PT15M, PT90S"


class Reading(Protocol):
    """A merchant's time and its distance from the real time."""

    @property
    def time(self) -> datetime:
        """The time."""

    @property
    def offset(self) -> timedelta:
        """The distance from the real time."""


class ClockChange(Protocol):
    """An advanced clock, the distance, and the number of steps."""

    @property
    def reading(self) -> Reading:
        """The clock."""

    @property
    def by(self) -> timedelta:
        """The distance of this call."""

    @property
    def steps(self) -> int:
        """The number of times at which the clock stopped."""


class ClockForecast(Protocol):
    """A clock with the next due times."""

    @property
    def reading(self) -> Reading:
        """The clock."""

    @property
    def next(self) -> Sequence[tuple[str, datetime]]:
        """Kinds and due times, earliest first."""


#: Advances a merchant's clock to a goal chosen by its time.
Advance = Callable[[int, Callable[[datetime], datetime]], Awaitable[ClockChange]]
Look = Callable[[int], Awaitable[ClockForecast]]


def read_advance(value: Any) -> Offset | timedelta:
    """Read the distance to advance. Raises ValueError."""
    text = value if isinstance(value, str) else ""
    form = DURATION_FORM.fullmatch(text)
    if form is not None:
        hours, minutes, seconds = (int(count or 0) for count in form.groups())
        return timedelta(hours=hours, minutes=minutes, seconds=seconds)
    try:
        return parse_offset(text)
    except OffsetError:
        raise ValueError(ADVANCE_TEXT) from None


class ClockRequest(Body):
    """The goal of an advance: one of two fields is given."""

    model_config = ConfigDict(extra="forbid")

    until: Moment | None = Field(
        None,
        description="The time to reach, with its zone or in UTC. Later than your time.",
        examples=["2027-01-31T12:00:00Z", "2027-01-31 12:00:00"],
    )
    advance: Annotated[Offset | timedelta, BeforeValidator(read_advance), WithJsonSchema({"type": "string"})] | None = (
        Field(
            None,
            validate_default=True,
            description="The distance: an offset as in prices, where `m` is months (`30d`, `2w`, `1m`, `1y`), or "
            "hours, minutes and seconds in the form of ISO 8601 (`PT36H`, `PT15M`, `PT90S`).",
            examples=["30d"],
        )
    )

    @field_validator("advance")
    @classmethod
    def _check_there_is_one(cls, given: Offset | timedelta | None, info: ValidationInfo) -> Offset | timedelta | None:
        if "until" in info.data and (given is None) == (info.data["until"] is None):
            raise ValueError("is required, or until" if given is None else "cannot be combined with until")
        return given

    def choose_goal(self, now: datetime) -> datetime:
        """Return the goal of a clock at this time. Raises Invalid."""
        field = "advance" if self.until is None else "until"
        goal = self.until if self.until is not None else _step(now, self.advance)
        if goal is None or goal > min(add_offset(now, MAX_ADVANCE), LATEST):
            raise Invalid({field: [f"may advance at most {MAX_ADVANCE.count} years, up to the year {LATEST.year}"]})
        if goal <= now and self.until is not None:
            raise Invalid({field: [f"is past: your clock shows {render_instant(now)}, and cannot go back"]})
        return goal


def _step(now: datetime, by: Offset | timedelta | None) -> datetime | None:
    """Return a later time, or None beyond the calendar."""
    try:
        return now + by if isinstance(by, timedelta) else add_offset(now, by) if by else None
    except (OverflowError, ValueError):
        return None


def _ceil_millisecond(at: datetime) -> datetime:
    """Round a time up to its shown form, so that work due at it is due when the clock shows it."""
    return at + timedelta(microseconds=-at.microsecond % 1000)


class ClockCalls(Calls):
    """The virtual clock of a merchant. Stage only."""

    def __init__(self, authenticator: RequestAuthenticator, advance: Advance, look: Look) -> None:
        self._authenticator = authenticator
        self._advance = advance
        self._look = look

    @call("POST /stage/clock", "Advance your clock", Purpose.SETS_UP, ClockRequest, ClockAnswer, rejects=(409,))
    async def post_clock(self, request: Request) -> Response:
        """Advance your clock, and do all work that falls due before, each at its time. Stage only.

        The clock stops at each due time until all work is done and its callbacks are delivered or wait for a retry.
        The response is sent when the goal is reached, which takes longer if your server is slow. After ten minutes it
        is 503, with the time reached and how to continue. The clock never goes back. Meanwhile, another such call is
        409.
        """
        valid = await read_request(self._authenticator, request, ClockRequest, limit_bytes=MAX_BODY_BYTES)
        moved = await self._advance(valid.merchant.merchant_id, valid.body.choose_goal)
        answer = ClockAnswer(
            now=render_instant(moved.reading.time),
            ahead=render_duration(moved.reading.offset),
            advanced=render_duration(moved.by),
            steps=moved.steps,
        )
        return Response(render(answer))

    @call("GET /stage/clock", "Get your clock", answer=OutlookAnswer)
    async def get_clock(self, request: Request) -> Response:
        """Return your time and the next due times. Stage only."""
        merchant = await self._authenticator.access(request)
        outlook = await self._look(merchant.merchant_id)
        due = [
            DueAnswer.model_validate({"kind": kind, "at": render_instant(_ceil_millisecond(at))})
            for kind, at in outlook.next
        ]
        answer = OutlookAnswer(
            now=render_instant(outlook.reading.time), ahead=render_duration(outlook.reading.offset), next=due
        )
        return Response(render(answer))
