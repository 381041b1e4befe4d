"""`/transaction/{transactionId}/ipn`, `/order/{orderId}/ipn` and `/events`: get callbacks and send them again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from pydantic import Field

from tollhouse.api.fields.values import Moment, Url
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body, naming_faults
from tollhouse.api.reading.ids import NO_ORDER, NO_TRANSACTION, read_id
from tollhouse.api.reading.requests import read_creation, read_query
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response, build_http_response
from tollhouse.http.routes import Calls, call
from tollhouse.idempotency.create import create_once
from tollhouse.ipn.log import select_events_after, select_first_record, select_order_records, select_transaction_record
from tollhouse.ipn.model import EventEntry, Record
from tollhouse.ipn.resend import DeliveryKey, resend_transaction
from tollhouse.ipn.resend_many import ResendFilter, Resent, resend_events
from tollhouse.kernel.errors import InternalError, NotFound
from tollhouse.kernel.faults import Subject
from tollhouse.kernel.ids import MAX_ID, format_event_id
from tollhouse.kernel.polling import growing_pauses
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.kernel.urls import get_origin
from tollhouse.storage.database import Database
from tollhouse.wire.callbacks import (
    EventAnswer,
    EventListAnswer,
    EventListMeta,
    IpnRecordAnswer,
    OrderIpnAnswer,
    ResentAnswer,
)
from tollhouse.wire.render import render, render_date, render_json

NO_CALLBACK = "The transaction has no callback yet. Try again later."

#: For the first attempt of a resend.
MAX_WAIT_SECONDS = 5.0

DEFAULT_EVENTS = 50
MAX_EVENTS = 100


class ResendRequest(Body):
    """A request to send a callback again."""

    url: Url | None = Field(None, description="The URL; by default the payment's `url.ipnUrl`.")


class ResendEventsRequest(Body):
    """The callbacks to send again; an absent field is no condition."""

    after: int | None = Field(None, ge=0, le=MAX_ID, description="Events after this number; `after` of the response.")
    until: int | None = Field(None, ge=0, le=MAX_ID, description="Events up to this number.")
    since: Moment | None = Field(None, alias="from", description="Events of that time or later, by `createdAt`.")
    before: Moment | None = Field(None, alias="to", description="Events before that time.")
    endpoint: Url | None = Field(None, description="Callbacks to the scheme, host and port of this URL.")
    onlyFailed: bool = Field(True, description="Leave out acknowledged callbacks.")

    #: Without them, or with a misspelled one, the call would send more than intended.
    decisive = frozenset({"after", "until", "from", "to", "endpoint"})


class EventQuery(Body):
    """The events to list."""

    after: int = Field(0, ge=0, le=MAX_ID, description="The number of the last event that you have.")
    limit: int = Field(DEFAULT_EVENTS, ge=1, le=MAX_EVENTS, description="The maximum number of entries.")


class CallbackCalls(Calls):
    """Callbacks: get and send again. `readers` are the connections of calls that only read."""

    def __init__(
        self,
        database: Database,
        readers: Database,
        digest: Callable[[bytes], bytes],
        authenticator: RequestAuthenticator,
        context: Callable[[], dict[str, Any]],
        *,
        answer_seconds: float,
    ) -> None:
        self._database = database
        self._readers = readers
        self._digest = digest
        self._wait_seconds = min(answer_seconds, MAX_WAIT_SECONDS)
        self._authenticator = authenticator
        self._context = context

    @call("GET /transaction/{transactionId}/ipn", "Get the callback of a transaction", answer=IpnRecordAnswer)
    async def get_transaction_ipn(self, request: Request) -> Response:
        """Return the newest attempt at the callback of a transaction."""
        merchant = await self._authenticator.access(request)
        number = read_id(request.path_parameters["transactionId"], NO_TRANSACTION)
        async with self._readers.acquire() as connection:
            record = await select_transaction_record(
                connection, merchant_id=merchant.merchant_id, transaction_id=number
            )
        if record is None:
            raise NotFound(NO_CALLBACK)
        return Response(render(build_record(record)))

    @call("GET /order/{orderId}/ipn", "Get the callbacks of an order", answer=OrderIpnAnswer)
    async def get_order_ipn(self, request: Request) -> Response:
        """Return the newest attempt at the callbacks of an order, and in `records` all of them."""
        merchant = await self._authenticator.access(request)
        number = read_id(request.path_parameters["orderId"], NO_ORDER)
        async with self._readers.acquire() as connection:
            records = await select_order_records(connection, merchant_id=merchant.merchant_id, payment_id=number)
        if not records:
            raise NotFound(NO_CALLBACK)
        built = [build_record(record) for record in records]
        return Response(render(OrderIpnAnswer(**built[0].model_dump(), records=built)))

    @call(
        "POST /transaction/{transactionId}/ipn",
        "Send a callback again",
        Purpose.SETS_UP,
        ResendRequest,
        IpnRecordAnswer,
        takes_request_id=True,
    )
    async def post_transaction_ipn(self, request: Request) -> Response:
        """Send the callback of a transaction again, to this URL or its own, and return the first attempt.

        It is retried by the usual schedule until it is acknowledged. If no attempt has ended in 5 seconds, or your
        server is paused because it fails, `attemptNumber` is 0. While the transaction is pending, the response
        is 409.
        """
        valid = await read_creation(
            self._authenticator,
            request,
            ResendRequest,
            operation="resend",
            digest=self._digest,
            context=self._context(),
        )
        merchant_id, url = valid.merchant.merchant_id, valid.body.url
        number = read_id(request.path_parameters["transactionId"], NO_TRANSACTION)
        with naming_faults({Subject.CALLBACK_URL: "url"}):
            rendered = await create_once(
                self._database,
                valid.claim,
                resend_transaction,
                render_json,
                merchant_id=merchant_id,
                transaction_id=number,
                url=url,
            )
        key = DeliveryKey(*msgspec.json.decode(rendered.body))
        record = await _wait_for_attempt(self._database, merchant_id, key, seconds=self._wait_seconds)
        return build_http_response(
            RenderedResponse(rendered.status, render(build_record(record)), is_replay=rendered.is_replay)
        )

    @call(
        "POST /events/resend",
        "Send callbacks again",
        Purpose.SETS_UP,
        ResendEventsRequest,
        ResentAnswer,
        takes_request_id=True,
    )
    async def post_events_resend(self, request: Request) -> Response:
        """Send the callbacks of a range of events again, to the same URLs.

        One call reads at most 5000 events and sends 100 again. While `hasMore`, call again with the `after` of the
        response and another X-Request-ID. Deliveries in progress are left out. Events of one payment keep their order.
        """
        valid = await read_creation(
            self._authenticator,
            request,
            ResendEventsRequest,
            operation="resend-events",
            digest=self._digest,
            context=self._context(),
        )
        merchant_id, body = valid.merchant.merchant_id, valid.body
        wanted = ResendFilter(
            after=body.after or 0,
            until=MAX_ID if body.until is None else body.until,
            since=body.since,
            before=body.before,
            origin=None if body.endpoint is None else get_origin(body.endpoint),
            only_failed=body.onlyFailed,
        )
        rendered = await create_once(
            self._database, valid.claim, resend_events, show_resent, merchant_id=merchant_id, filter_=wanted
        )
        return build_http_response(rendered)

    @call("GET /events", "List events", query=EventQuery, answer=EventListAnswer)
    async def list_events(self, request: Request) -> Response:
        """Return your events after a number, in their order and without a gap, as in their callbacks.

        Call again with the `after` of the response for the next events.
        """
        valid = await read_query(self._authenticator, request, EventQuery)
        after, limit = valid.body.after, valid.body.limit
        async with self._readers.acquire() as connection:
            entries = await select_events_after(
                connection, merchant_id=valid.merchant.merchant_id, after=after, max_rows=limit + 1
            )
        shown = entries[:limit]
        meta = EventListMeta(limit=limit, after=shown[-1].sequence if shown else after, hasMore=len(entries) > limit)
        return Response(render(EventListAnswer(data=list(map(build_event, shown)), meta=meta)))


async def _wait_for_attempt(database: Database, merchant_id: int, key: DeliveryKey, *, seconds: float) -> Record:
    """Return a delivery with its first attempt, or without one if none was made in time.

    A paused endpoint is not waited for.
    """
    record, is_paused = await _read_attempt(database, merchant_id, key)
    for pause in growing_pauses(seconds):
        if record.number or is_paused:
            break
        await asyncio.sleep(pause)
        record, is_paused = await _read_attempt(database, merchant_id, key)
    return record


async def _read_attempt(database: Database, merchant_id: int, key: DeliveryKey) -> tuple[Record, bool]:
    """Return a delivery with its first attempt, if that was made, and whether its endpoint is left alone."""
    async with database.acquire() as connection:
        found = await select_first_record(connection, merchant_id=merchant_id, event_id=key.event_id, number=key.number)
    if found is None:
        raise InternalError("A delivery that was committed is not there.")
    return found


def show_resent(resent: Resent) -> bytes:
    """Write how many callbacks are sent again, and how far it got."""
    return render(ResentAnswer(resent=resent.count, skipped=resent.skipped, after=resent.last, hasMore=resent.has_more))


def build_record(record: Record) -> IpnRecordAnswer:
    """Build the model of the response."""
    return IpnRecordAnswer(
        url=record.url,
        request=record.body.decode(),
        response=record.excerpt or "",
        orderId=str(record.payment_id),
        transactionId=str(record.transaction_id or ""),
        execTime="" if record.duration_ms is None else f"{record.duration_ms / 1000:.3f}",
        httpCode=str(record.status or ""),
        error=record.error or "",
        attemptNumber=record.number,
        eventId=format_event_id(record.event_id),
        deliveryNumber=record.delivery_number,
        format=record.form,
        state=record.state,
        sentAt=render_date(record.started_at) if record.started_at else "",
    )


def build_event(entry: EventEntry) -> EventAnswer:
    """Build the model of the response; the body is exactly the posted text."""
    return EventAnswer(
        id=format_event_id(entry.event_id),
        sequence=entry.sequence,
        kind=entry.kind,
        status=entry.status or "",
        createdAt=render_date(entry.created_at),
        body=msgspec.Raw(entry.body),
    )
