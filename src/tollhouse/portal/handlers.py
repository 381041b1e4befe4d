"""What merchants ask of the portal, over HTTP. Everything is read-only but signing in and out, and sending again."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import structlog
from litestar import Response, Router, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery

from tollhouse.ipn.resend import MAX_DELIVERIES, resend_delivery
from tollhouse.kernel.errors import NotAuthenticated, NotFound, QueueFull, RateLimited, Refusal, Unavailable
from tollhouse.merchants.people import Person, access_person, sign_out
from tollhouse.merchants.sign_in import SignInRefused, Try, sign_in
from tollhouse.portal.forms import (
    KNOWN,
    KNOWN_SECONDS,
    PATH,
    SESSION,
    VISITOR,
    VISITOR_SECONDS,
    AnyRequest,
    StaleForm,
    check_form_token,
    choose_next,
    form_token,
    make_cookie,
    read_form,
    take_visitor,
)
from tollhouse.portal.model import Filter
from tollhouse.portal.pages import go_to, show
from tollhouse.portal.paging import read_cursor, write_cursor
from tollhouse.portal.store import (
    read_id,
    select_api_keys,
    select_payment,
    select_payments,
    select_sign_ins,
    select_sites,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.datastructures import Cookie
    from litestar.handlers import HTTPRouteHandler

    from tollhouse.merchants.passwords import PasswordGate
    from tollhouse.storage.database import Database

MAX_BODY_BYTES = 16 * 1024
PAGE_SIZE = 50
MAX_FILTER_LENGTH = 255
STATUSES = ("success", "pending", "fail", "chargeback")
#: Days before and after these are none that anybody looks for.
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(9998, 12, 31)

STALE = "This page was open for too long. Please try once more."
REFUSED = "E-mail and password do not go together, or there were too many tries: ten, then half an hour's wait."
LIMITED = "Too many wrong passwords came from your address. Wait half an hour, or use a browser that signed in before."
BUSY = "Too many people sign in at this moment. Try again in a few seconds."

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Portal:
    """What the pages work with. `is_secure` says that browsers come over TLS only.

    `browser_key` signs the cookies of known browsers; `address_of` returns where a request comes from.
    """

    database: Database
    passwords: PasswordGate
    browser_key: bytes
    address_of: Callable[[AnyRequest], str]
    is_secure: bool
    is_live: bool

    async def access(self, request: AnyRequest) -> Person:
        """Return who is signed in. Raises NotAuthenticated."""
        return await access_person(self.database, request.cookies.get(SESSION))

    def cookie(self, name: str, value: str, *, seconds: int | None = None) -> Cookie:
        """Return a cookie as this portal sets it."""
        return make_cookie(name, value, is_secure=self.is_secure, seconds=seconds)


def portal_handlers(portal: Portal) -> list[Router]:
    """Return the routes."""
    return [
        Router(
            PATH,
            route_handlers=[
                *_door_routes(portal),
                *_payment_routes(portal),
                *_own_routes(portal),
                get_style,
                show_nothing,
            ],
            request_max_body_size=MAX_BODY_BYTES,
            include_in_schema=False,
            exception_handlers={
                NotAuthenticated: _send_to_door,
                Refusal: _show_refusal,
                HTTPException: _show_faulty,
                Exception: _show_defect,
            },
        )
    ]


def _door_routes(portal: Portal) -> list[HTTPRouteHandler]:
    @get("/sign-in")
    async def show_sign_in(request: AnyRequest, next_page: FromQuery[str] = "") -> Response[str]:
        """Ask for e-mail and password."""
        return _show_door(portal, request, next_page=next_page)

    @post("/sign-in")
    async def submit_sign_in(request: AnyRequest) -> Response[str]:
        """Open a session, or say that it is not to be."""
        form = await read_form(request)
        wanted = _read_try(portal, request, form)
        try:
            check_form_token(request.cookies.get(VISITOR), form)
            signed_in = await sign_in(portal.database, portal.passwords, portal.browser_key, wanted)
        except StaleForm:
            return _show_door_again(portal, request, form, STALE, status_code=403)
        except SignInRefused:
            return _show_door_again(portal, request, form, REFUSED, status_code=401)
        except (RateLimited, QueueFull) as error:
            status, text = (429, LIMITED) if isinstance(error, RateLimited) else (503, BUSY)
            headers = {"Retry-After": str(error.retry_after_seconds)}
            return _show_door_again(portal, request, form, text, status_code=status, headers=headers)
        cookies = (
            portal.cookie(SESSION, signed_in.session),
            portal.cookie(KNOWN, signed_in.browser, seconds=KNOWN_SECONDS),
        )
        return go_to(choose_next(form.get("next_page", "")), cookies=cookies)

    @post("/sign-out")
    async def submit_sign_out(request: AnyRequest) -> Response[str]:
        """End the session."""
        token = request.cookies.get(SESSION)
        check_form_token(token, await read_form(request))
        await sign_out(portal.database, token or "")
        return go_to(f"{PATH}/sign-in", cookies=(portal.cookie(SESSION, "", seconds=0),))

    return [show_sign_in, submit_sign_in, submit_sign_out]


def _read_try(portal: Portal, request: AnyRequest, form: dict[str, str]) -> Try:
    email, password = form.get("email", ""), form.get("password", "")
    return Try(email, password, portal.address_of(request), request.cookies.get(KNOWN, ""))


def _payment_routes(portal: Portal) -> list[HTTPRouteHandler]:
    @get("/", status_code=303)
    async def show_start(request: AnyRequest) -> Response[str]:
        """Lead to the payments."""
        await portal.access(request)
        return go_to(f"{PATH}/payments")

    @get("/payments")
    async def list_payments(
        request: AnyRequest,
        status: FromQuery[str] = "",
        order: FromQuery[str] = "",
        email: FromQuery[str] = "",
        cursor: FromQuery[str] = "",
    ) -> Response[str]:
        """List payments, newest first."""
        person = await portal.access(request)
        wanted = Filter(
            status if status in STATUSES else "",
            _clean(order),
            _clean(email),
            since=_read_day(request.query_params.get("from", "")),
            until=_read_day(request.query_params.get("to", "")),
        )
        lines = await select_payments(
            portal.database, person.merchant_id, wanted, after=read_cursor(cursor), most=PAGE_SIZE + 1
        )
        shown = lines[:PAGE_SIZE]
        more = write_cursor(shown[-1].cursor) if len(lines) > PAGE_SIZE else ""
        return _show(
            portal, request, person, "payments.html", lines=shown, wanted=wanted, more=more, is_later_page=bool(cursor)
        )

    @get("/payments/{transaction_id:str}")
    async def show_payment(request: AnyRequest, transaction_id: FromPath[str]) -> Response[str]:
        """Show all about one payment."""
        person = await portal.access(request)
        sheet = await select_payment(portal.database, person.merchant_id, read_id(transaction_id))
        if sheet is None:
            raise NotFound("There is no such payment.")
        return _show(portal, request, person, "payment.html", sheet=sheet, line=sheet.line)

    @post("/payments/{transaction_id:str}/callbacks/{event_id:str}/{number:str}/again")
    async def send_again(
        request: AnyRequest, transaction_id: FromPath[str], event_id: FromPath[str], number: FromPath[str]
    ) -> Response[str]:
        """Make a delivery that was given up once more."""
        person = await portal.access(request)
        check_form_token(request.cookies.get(SESSION), await read_form(request))
        async with portal.database.transaction() as connection:
            key = await resend_delivery(
                connection,
                merchant_id=person.merchant_id,
                event_id=read_id(event_id),
                number=min(read_id(number), MAX_DELIVERIES),
            )
        log.info("callback sent again", merchant_id=person.merchant_id, event_id=key.event_id, number=key.number)
        return go_to(f"{PATH}/payments/{read_id(transaction_id)}")

    return [show_start, list_payments, show_payment, send_again]


def _own_routes(portal: Portal) -> list[HTTPRouteHandler]:
    @get("/keys")
    async def list_keys(request: AnyRequest) -> Response[str]:
        """List the API keys by their ends."""
        person = await portal.access(request)
        keys = await select_api_keys(portal.database, person.merchant_id)
        return _show(portal, request, person, "keys.html", keys=keys)

    @get("/sites")
    async def list_sites(request: AnyRequest) -> Response[str]:
        """List the sites with their products."""
        person = await portal.access(request)
        sites = await select_sites(portal.database, person.merchant_id)
        return _show(portal, request, person, "sites.html", sites=sites)

    @get("/sign-ins")
    async def list_sign_ins(request: AnyRequest) -> Response[str]:
        """List who signed in, or tried to, and from where."""
        person = await portal.access(request)
        sign_ins = await select_sign_ins(portal.database, person.merchant_id)
        return _show(portal, request, person, "sign_ins.html", sign_ins=sign_ins)

    return [list_keys, list_sites, list_sign_ins]


@get("/portal.css", sync_to_thread=False)
def get_style() -> Response[bytes]:
    """Give the pages their looks."""
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(_read_style(), media_type="text/css", headers=headers)


@get("/{rest:path}", sync_to_thread=False)
def show_nothing(rest: FromPath[str]) -> Response[str]:  # noqa: ARG001 - it is the path itself that is unknown
    """Answer with a page where there is none."""
    return _show_problem("Not here", "There is no such page.", 404)


@cache
def _read_style() -> bytes:
    return files("tollhouse.portal").joinpath("templates", "portal.css").read_bytes()


def _show(portal: Portal, request: AnyRequest, person: Person, template: str, **values: Any) -> Response[str]:
    token = form_token(request.cookies[SESSION])
    return show(template, person=person, form_token=token, is_live=portal.is_live, **values)


def _show_door(
    portal: Portal,
    request: AnyRequest,
    *,
    next_page: str,
    email: str = "",
    problem: str = "",
    status_code: int = 200,
    headers: dict[str, str] | None = None,
) -> Response[str]:
    visitor = take_visitor(request)
    return show(
        "sign_in.html",
        status_code=status_code,
        headers=headers,
        cookies=(portal.cookie(VISITOR, visitor, seconds=VISITOR_SECONDS),),
        form_token=form_token(visitor),
        next_page=choose_next(next_page),
        email=email[:MAX_FILTER_LENGTH],
        problem=problem,
        is_live=portal.is_live,
    )


def _show_door_again(
    portal: Portal,
    request: AnyRequest,
    form: dict[str, str],
    problem: str,
    *,
    status_code: int,
    headers: dict[str, str] | None = None,
) -> Response[str]:
    """Show the form once more, with what was wrong."""
    return _show_door(
        portal,
        request,
        next_page=form.get("next_page", ""),
        email=form.get("email", ""),
        problem=problem,
        status_code=status_code,
        headers=headers,
    )


def _read_day(text: str) -> date | None:
    """Read a day as browsers send it; what is none narrows nothing."""
    try:
        return min(max(date.fromisoformat(text), FIRST_DAY), LAST_DAY)
    except ValueError:
        return None


def _clean(text: str) -> str:
    return text.replace("\0", "").strip()[:MAX_FILTER_LENGTH]


def _send_to_door(request: AnyRequest, _: Exception) -> Response[str]:
    """Ask who is not signed in to do so, and lead back to where they wanted to be."""
    wanted = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    back = choose_next(wanted) if request.method == "GET" else choose_next("")
    return go_to(f"{PATH}/sign-in?{urlencode({'next_page': back})}")


def _show_refusal(_: AnyRequest, error: Exception) -> Response[str]:
    if isinstance(error, Unavailable):
        text = "The database does not answer, or the search took too long. Try again in a moment."
        headers = {"Retry-After": str(error.retry_after_seconds)}
        return _show_problem("One moment, please", text, 503, headers)
    if isinstance(error, NotFound):
        return _show_problem("Not here", str(error), 404)
    return _show_problem("That was refused", str(error), 403)


def _show_faulty(_: AnyRequest, error: HTTPException) -> Response[str]:
    text = {404: "There is no such page.", 413: "That was too much at once."}.get(
        error.status_code, "That did not work."
    )
    return _show_problem("Not here", text, error.status_code)


def _show_defect(_: AnyRequest, error: Exception) -> Response[str]:
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error("defect", error=type(error).__name__, frames=frames[-12:])
    return _show_problem("Something is wrong", "It is at our side, and the log of the gateway says more.", 500)


def _show_problem(heading: str, text: str, status_code: int, headers: dict[str, str] | None = None) -> Response[str]:
    return show("problem.html", status_code=status_code, headers=headers, heading=heading, text=text)
