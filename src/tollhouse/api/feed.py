"""`GET /feed/transactions`: list transactions, newest first, with filters."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body
from tollhouse.api.reading.requests import read_query
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.cursors import cursor_pattern, format_cursor, parse_cursor
from tollhouse.kernel.ids import parse_id
from tollhouse.payments.reading.feed import EARLIEST, LATEST, FeedFilter, FeedPosition, select_page
from tollhouse.payments.reading.public_names import PublicMode, PublicStatus, find_mode, find_status
from tollhouse.payments.reading.view import render_event
from tollhouse.storage.database import Database
from tollhouse.wire.answers import FeedAnswer, FeedMeta
from tollhouse.wire.render import render

DEFAULT_TRANSACTIONS = 50
MAX_TRANSACTIONS = 100

_UNIX = re.compile(r"[0-9]{1,10}")
#: An unencoded plus sign has become a space.
_ZONE_AFTER_SPACE = re.compile(r" (\d\d:?\d\d)$")


def _read_moment(value: object) -> datetime:
    """Parse Unix seconds, or a date or time of ISO 8601, which is in UTC without a zone."""
    text = str(value)
    try:
        if _UNIX.fullmatch(text):
            return datetime.fromtimestamp(int(text), UTC)
        moment = datetime.fromisoformat(_ZONE_AFTER_SPACE.sub(r"+\1", text))
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be Unix seconds, or a date or time of ISO 8601") from None
    return min(max(moment, EARLIEST), LATEST)


def _check_number(text: str) -> str:
    if parse_id(text) is None:
        raise ValueError("is not an ID")
    return text


Number = Annotated[str, Field(pattern=r"^[0-9]{1,19}$"), AfterValidator(_check_number)]
Moment = Annotated[datetime, BeforeValidator(_read_moment, json_schema_input_type=str)]


class FeedQuery(Body):
    """The transactions to list; an absent field is no condition."""

    orderId: Number | None = None
    transactionId: Number | None = None
    requestId: str | None = Field(
        None, pattern=r"^[!-~]{1,128}$", description="The `X-Request-ID` of the request that created it."
    )
    consumerId: str | None = Field(None, pattern=r"^[!-~]{1,36}$", description="The gateway's ID, `consumer.id`.")
    externalId: str | None = Field(
        None, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$", description="Your own ID of the consumer."
    )
    siteId: Number | None = None
    status: PublicStatus | None = None
    mode: PublicMode | None = None
    since: Moment | None = Field(
        None,
        alias="from",
        description="The earliest `payment.timestamp`: Unix seconds, or ISO 8601, in UTC without a zone.",
    )
    until: Moment | None = Field(None, alias="to", description="The end of the range of `payment.timestamp`, excluded.")
    cursor: str | None = Field(
        None, pattern=f"^{cursor_pattern(1)}$", description="`meta.cursor` of the previous page."
    )
    limit: int = Field(DEFAULT_TRANSACTIONS, ge=1, le=MAX_TRANSACTIONS, description="The maximum number of entries.")

    @field_validator("until")
    @classmethod
    def _check_times(cls, until: datetime | None, info: ValidationInfo) -> datetime | None:
        since = info.data.get("since")
        if since and until and since >= until:
            raise ValueError("must be later than from")
        return until

    def to_filter(self) -> FeedFilter:
        """Convert the request to the terms of the domain."""
        by_mode, by_status = find_mode(self.mode), find_status(self.status)
        both = [each.steps for each in (by_mode, by_status) if each.steps is not None]
        return FeedFilter(
            transaction_id=_to_int(self.transactionId),
            payment_id=_to_int(self.orderId),
            request_id=self.requestId,
            consumer_id=self.consumerId,
            external_id=self.externalId,
            site_id=_to_int(self.siteId),
            status=by_status.status,
            mode=by_mode.mode or by_status.mode,
            steps=frozenset.intersection(*both) if both else None,
            since=self.since or EARLIEST,
            until=self.until or LATEST,
        )


def _to_int(text: str | None) -> int | None:
    return None if text is None else int(text)


class FeedCalls(Calls):
    """The list of transactions."""

    def __init__(self, database: Database, authenticator: RequestAuthenticator) -> None:
        self._database = database
        self._authenticator = authenticator

    @call("GET /feed/transactions", "List transactions", query=FeedQuery, answer=FeedAnswer)
    async def list_transactions(self, request: Request) -> Response:
        """Return transactions in the form of callbacks, newest first, including pending ones.

        Captures, voids, refunds and chargebacks are separate transactions. New ones do not shift later pages. Only
        `GET /payment/{transactionId}` has the challenge URL of a transaction that waits for its cardholder.
        """
        valid = await read_query(self._authenticator, request, FeedQuery)
        query = valid.body
        async with self._database.acquire() as connection:
            page = await select_page(
                connection,
                valid.merchant.merchant_id,
                query.to_filter(),
                after=_read_position(query.cursor),
                max_rows=query.limit,
            )
        meta = FeedMeta(limit=query.limit, cursor=page.next and format_cursor(*page.next))
        # Each equals the body of its callback, byte for byte; together they are a `FeedAnswer`.
        data = b",".join(render_event(payment) for payment in page.payments)
        content = b'{"data":[' + data + b'],"meta":' + render(meta) + b"}"
        return Response(content)


def _read_position(cursor: str | None) -> FeedPosition | None:
    """Read a cursor that is well formed."""
    found = parse_cursor(cursor, ids=1) if cursor else None
    return FeedPosition(found[0], *found[1]) if found else None
