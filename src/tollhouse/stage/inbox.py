"""The inbox of the demo merchant: a page with its callbacks, and a receiver for those sent to the page's URL.

`/stage/inbox` is the demo site's default `ipnUrl`. The page shows all callbacks from
the delivery log, with any URL, so a newcomer who copies the quickstart sees the callback that its example server
never received. Receipts and messages to the merchant's customers are shown too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta

import msgspec

from tollhouse.catalog.access import Catalog
from tollhouse.http.problems import NO_PATH
from tollhouse.http.requests import Request
from tollhouse.http.responses import HTML, Response, build_html_response, build_tag
from tollhouse.http.routes import Route
from tollhouse.ipn.log import select_recent_deliveries
from tollhouse.kernel.errors import Invalid, NotFound
from tollhouse.kernel.ids import MAX_ID, format_event_id
from tollhouse.merchants.clock import select_clock
from tollhouse.notices.render import render_email
from tollhouse.notices.store import select_notice, select_recent_notices
from tollhouse.phones.sender import RecordedMessage
from tollhouse.stage.callbacks import CallbackView, build_callback
from tollhouse.stage.demo import MERCHANT_ID, SITE_ID
from tollhouse.stage.mail import EmailView, MessageView
from tollhouse.stage.mailbox import Mailbox, verify_arrival
from tollhouse.stage.pages import EMAIL_HEADERS, PAGE_HEADERS, render, show
from tollhouse.storage.database import Database

PATH = "/stage/inbox"
MAX_BODY_BYTES = 64 * 1024
#: Callbacks of one page, and rejected arrivals shown above them.
PAGE_SIZE = 40
MAX_REJECTED = 5
#: Emails and messages of one page.
MAX_NOTICES = 20


@dataclass(frozen=True, slots=True)
class Inbox:
    """The inbox. `secrets_of` returns a merchant's IPN secrets, the current one first."""

    database: Database
    catalog: Catalog
    secrets_of: Callable[[int], Awaitable[Sequence[str]]]
    mailbox: Mailbox
    base_url: str
    #: Returns the messages to phones of a merchant's customers that are shown.
    messages_of: Callable[[int], Sequence[RecordedMessage]]
    #: Whether emails are sent, and not only shown here.
    has_mail_server: bool

    async def is_for_demo(self) -> bool:
        """Whether there is a demo merchant. Callbacks of notices are not shown."""
        return await self.catalog.site(MERCHANT_ID, SITE_ID) is not None

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", PATH, self.show_inbox),
            Route("GET", f"{PATH}/list", self.show_list),
            Route("GET", f"{PATH}/letter/{{noticeId}}", self.show_email),
            Route("POST", PATH, self.receive),
        ]

    async def show_inbox(self, request: Request) -> Response:
        """Show the page; with `before`, the callbacks older than an event."""
        before = _read_before(request)
        part = await _render_list(self, before)
        return show("inbox.html", part=part, tag=build_tag(part.encode()), is_first_page=before is None, path=PATH)

    async def show_list(self, request: Request) -> Response:
        """Return the newest entries to the script, or 304 if it has them."""
        part = (await _render_list(self, None)).encode()
        headers = {**PAGE_HEADERS, "ETag": build_tag(part)}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(b"", 304, HTML, headers)
        return Response(part, 200, HTML, headers)

    async def show_email(self, request: Request) -> Response:
        """Return the HTML of an email for a frame of the page."""
        notice_id = _read_number(request.path_parameters["noticeId"])
        async with self.database.acquire() as connection:
            notice = await select_notice(connection, merchant_id=MERCHANT_ID, notice_id=notice_id)
        if notice is None or not await self.is_for_demo():
            raise NotFound(NO_PATH)
        return build_html_response(render_email(notice).html, headers=EMAIL_HEADERS)

    async def receive(self, request: Request) -> Response:
        """Receive a callback as a merchant's server does: verify, keep, acknowledge."""
        body = await request.read_body(limit_bytes=MAX_BODY_BYTES)
        secrets = await self.secrets_of(MERCHANT_ID) if await self.is_for_demo() else []
        arrival = verify_arrival(request.headers, body, secrets)
        self.mailbox.put(arrival)
        if not arrival.is_genuine:
            return _respond(f"{arrival.problem}.", 400)
        return _respond("Thank you.", 200)


def _respond(message: str, status: int) -> Response:
    return Response(msgspec.json.encode({"message": message}), status)


def _read_before(request: Request) -> int | None:
    """Return the event number of `before`, if given. Raises Invalid."""
    text = request.query_value("before")
    try:
        return min(max(int(text), 0), MAX_ID) if "before" in request.query else None
    except ValueError:
        raise Invalid({}, "The request is invalid. Send a number as `before`.") from None


def _read_number(text: str) -> int:
    """Return the number of an email. Raises NotFound."""
    try:
        return min(max(int(text), 0), MAX_ID)
    except ValueError:
        raise NotFound(NO_PATH) from None


async def _render_list(inbox: Inbox, before: int | None) -> str:
    """Render the entries; equal entries give equal text. Emails and messages are on the first page."""
    is_for_demo = await inbox.is_for_demo()
    callbacks = await _read_callbacks(inbox, before) if is_for_demo else []
    notices = await _read_notices(inbox) if is_for_demo and before is None else []
    return render(
        "entries.html",
        is_for_demo=is_for_demo,
        clock=await _read_clock(inbox) if is_for_demo else "",
        entries=_merge_by_time(callbacks[:PAGE_SIZE], notices),
        has_mail_server=inbox.has_mail_server,
        rejected=inbox.mailbox.rejected()[:MAX_REJECTED] if before is None else [],
        older=callbacks[PAGE_SIZE - 1].entry.event_id if len(callbacks) > PAGE_SIZE else None,
        is_first_page=before is None,
        base_url=inbox.base_url,
        site_id=SITE_ID,
        path=PATH,
    )


async def _read_clock(inbox: Inbox) -> str:
    """Describe the merchant's time, if the clock was advanced."""
    async with inbox.database.acquire() as connection:
        reading = await select_clock(connection, MERCHANT_ID)
    if not reading.offset:
        return ""
    return f"{reading.time.astimezone(UTC):%-d %b %Y, %H:%M}, {describe_span(reading.offset)} ahead of the real time"


def describe_span(span: timedelta) -> str:
    """Describe a duration in its largest unit, rounded."""
    for unit, size in (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1))):
        if count := round(span / size):
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "seconds"


async def _read_callbacks(inbox: Inbox, before: int | None) -> list[CallbackView]:
    async with inbox.database.acquire() as connection:
        entries = await select_recent_deliveries(
            connection, merchant_id=MERCHANT_ID, before_event_id=before, max_rows=PAGE_SIZE + 1
        )
    secrets = await inbox.secrets_of(MERCHANT_ID)
    arrived = inbox.mailbox.genuine()
    return [
        build_callback(entry, secrets=secrets, arrivals=arrived.get(format_event_id(entry.event_id), ()))
        for entry in entries
    ]


async def _read_notices(inbox: Inbox) -> list[EmailView | MessageView]:
    """Return the newest emails and messages."""
    async with inbox.database.acquire() as connection:
        notices = await select_recent_notices(connection, merchant_id=MERCHANT_ID, most=MAX_NOTICES)
    messages = inbox.messages_of(MERCHANT_ID)[:MAX_NOTICES]
    return [*(EmailView(notice, render_email(notice)) for notice in notices), *map(MessageView, messages)]


def _merge_by_time(
    callbacks: Sequence[CallbackView], notices: Sequence[EmailView | MessageView]
) -> list[CallbackView | EmailView | MessageView]:
    """Merge the notices into the callbacks by time, newest first. Callbacks keep their own order."""
    left = sorted(notices, key=lambda one: one.at)
    ordered: list[CallbackView | EmailView | MessageView] = []
    for callback in callbacks:
        while left and left[-1].at > callback.at:
            ordered.append(left.pop())
        ordered.append(callback)
    return [*ordered, *reversed(left)]
