"""HTTP handlers of the portal. All are read-only except signing in, signing out, and sending a callback again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

import structlog

from tollhouse.http.problems import build_retry_after, log_defect
from tollhouse.http.requests import Request
from tollhouse.http.responses import CSS, Response
from tollhouse.http.routes import Route
from tollhouse.ipn.resend import MAX_DELIVERIES, resend_delivery
from tollhouse.kernel.cursors import format_cursor, parse_cursor
from tollhouse.kernel.errors import NotAuthenticated, NotFound, QueueFull, RateLimited, Rejection, TooLarge, Unavailable
from tollhouse.kernel.ids import parse_id
from tollhouse.merchants.passwords import PasswordVerifier
from tollhouse.merchants.people import PortalUser, authenticate_user, sign_out
from tollhouse.merchants.sign_in import SignInAttempt, SignInRejected, sign_in
from tollhouse.portal.forms import (
    KNOWN,
    KNOWN_TIMEOUT_SECONDS,
    PATH,
    SESSION,
    VISITOR,
    VISITOR_TIMEOUT_SECONDS,
    StaleForm,
    build_form_token,
    check_form_token,
    choose_next_page,
    get_visitor_token,
    make_cookie,
    read_form,
)
from tollhouse.portal.model import Cursor, PaymentFilter
from tollhouse.portal.pages import redirect_to, show
from tollhouse.portal.store import (
    START_OF_LIST,
    select_api_keys,
    select_payment,
    select_payments,
    select_sign_ins,
    select_sites,
)
from tollhouse.storage.database import Database

PAGE_SIZE = 50
MAX_FILTER_LENGTH = 255
STATUSES = ("success", "pending", "fail", "chargeback")
#: Days outside of this range are moved to its ends.
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(9998, 12, 31)

STALE_FORM = "This page was open for too long. Try again."
SIGN_IN_REJECTED = "Wrong email or password, or too many attempts. Try again; after ten attempts, wait half an hour."
TOO_MANY_ATTEMPTS = (
    "Too many wrong passwords from your address. Wait half an hour, or use a browser that signed in before."
)
SERVER_BUSY = "Too many sign-in requests. Try again in a few seconds."

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Portal:
    """The pages of the portal. `is_secure` means that browsers use TLS only.

    `browser_key` signs the cookies of known browsers; `address_of` returns the client's address.
    """

    database: Database
    passwords: PasswordVerifier
    browser_key: bytes
    address_of: Callable[[Request], str]
    is_secure: bool
    is_live: bool

    async def access(self, request: Request) -> PortalUser:
        """Return the signed-in user. Raises NotAuthenticated."""
        return await authenticate_user(self.database, request.cookies.get(SESSION))

    def cookie(self, name: str, value: str, *, seconds: int | None = None) -> str:
        """Return a cookie with the portal's attributes."""
        return make_cookie(name, value, is_secure=self.is_secure, seconds=seconds)

    def routes(self) -> list[Route]:
        """Return the routes."""
        routes = (
            ("GET", "", self.show_start),
            ("GET", "/sign-in", self.show_sign_in),
            ("POST", "/sign-in", self.submit_sign_in),
            ("POST", "/sign-out", self.submit_sign_out),
            ("GET", "/payments", self.list_payments),
            ("GET", "/payments/{transactionId}", self.show_payment),
            ("POST", "/payments/{transactionId}/callbacks/{eventId}/{number}/again", self.submit_resend),
            ("GET", "/keys", self.list_keys),
            ("GET", "/sites", self.list_sites),
            ("GET", "/sign-ins", self.list_sign_ins),
            ("GET", "/portal.css", get_style),
            ("GET", "/{rest:path}", show_not_found),
        )
        return [Route(method, f"{PATH}{path}", handler, on_error=show_error) for method, path, handler in routes]

    async def show_start(self, request: Request) -> Response:
        """Redirect to the list of payments."""
        await self.access(request)
        return redirect_to(f"{PATH}/payments")

    async def show_sign_in(self, request: Request) -> Response:
        """Show the sign-in form."""
        return _show_sign_in(self, request, next_page=request.query_value("next_page"))

    async def submit_sign_in(self, request: Request) -> Response:
        """Begin a session, or show the form again with the reason."""
        form = await read_form(request)
        wanted = _read_sign_in_attempt(self, request, form)
        try:
            check_form_token(request.cookies.get(VISITOR), form)
            signed_in = await sign_in(self.database, self.passwords, self.browser_key, wanted)
        except StaleForm:
            return _show_sign_in_error(self, request, form, STALE_FORM, status=403)
        except SignInRejected:
            return _show_sign_in_error(self, request, form, SIGN_IN_REJECTED, status=401)
        except (RateLimited, QueueFull) as error:
            status, text = (429, TOO_MANY_ATTEMPTS) if isinstance(error, RateLimited) else (503, SERVER_BUSY)
            headers = {"Retry-After": str(error.retry_after_seconds)}
            return _show_sign_in_error(self, request, form, text, status=status, headers=headers)
        cookies = (
            self.cookie(SESSION, signed_in.session),
            self.cookie(KNOWN, signed_in.browser, seconds=KNOWN_TIMEOUT_SECONDS),
        )
        return redirect_to(choose_next_page(form.get("next_page", "")), cookies=cookies)

    async def submit_sign_out(self, request: Request) -> Response:
        """End the session."""
        token = request.cookies.get(SESSION)
        check_form_token(token, await read_form(request))
        await sign_out(self.database, token or "")
        return redirect_to(f"{PATH}/sign-in", cookies=(self.cookie(SESSION, "", seconds=0),))

    async def list_payments(self, request: Request) -> Response:
        """List payments, newest first."""
        person = await self.access(request)
        status, cursor = request.query_value("status"), request.query_value("cursor")
        wanted = PaymentFilter(
            status if status in STATUSES else "",
            _clean(request.query_value("order")),
            _clean(request.query_value("email")),
            since=_parse_day(request.query_value("from")),
            until=_parse_day(request.query_value("to")),
        )
        lines = await select_payments(
            self.database, person.merchant_id, wanted, after=_read_cursor(cursor), max_rows=PAGE_SIZE + 1
        )
        shown = lines[:PAGE_SIZE]
        more = format_cursor(*shown[-1].cursor) if len(lines) > PAGE_SIZE else ""
        return _show(
            self, request, person, "payments.html", lines=shown, wanted=wanted, more=more, is_later_page=bool(cursor)
        )

    async def show_payment(self, request: Request) -> Response:
        """Show one transaction."""
        person = await self.access(request)
        sheet = await select_payment(self.database, person.merchant_id, _read_id(request, "transactionId"))
        if sheet is None:
            raise NotFound("Payment not found.")
        return _show(self, request, person, "payment.html", sheet=sheet, line=sheet.line)

    async def submit_resend(self, request: Request) -> Response:
        """Send a failed callback again."""
        person = await self.access(request)
        check_form_token(request.cookies.get(SESSION), await read_form(request))
        async with self.database.transaction() as connection:
            key = await resend_delivery(
                connection,
                merchant_id=person.merchant_id,
                event_id=_read_id(request, "eventId"),
                number=min(_read_id(request, "number"), MAX_DELIVERIES),
            )
        log.info("callback.resent", merchant_id=person.merchant_id, event_id=key.event_id, number=key.number)
        return redirect_to(f"{PATH}/payments/{_read_id(request, 'transactionId')}")

    async def list_keys(self, request: Request) -> Response:
        """List the API keys."""
        person = await self.access(request)
        keys = await select_api_keys(self.database, person.merchant_id)
        return _show(self, request, person, "keys.html", keys=keys)

    async def list_sites(self, request: Request) -> Response:
        """List the sites with their SKUs."""
        person = await self.access(request)
        sites = await select_sites(self.database, person.merchant_id)
        return _show(self, request, person, "sites.html", sites=sites)

    async def list_sign_ins(self, request: Request) -> Response:
        """List attempts to sign in."""
        person = await self.access(request)
        sign_ins = await select_sign_ins(self.database, person.merchant_id)
        return _show(self, request, person, "sign_ins.html", sign_ins=sign_ins)


def _read_sign_in_attempt(portal: Portal, request: Request, form: dict[str, str]) -> SignInAttempt:
    email, password = form.get("email", ""), form.get("password", "")
    return SignInAttempt(email, password, portal.address_of(request), request.cookies.get(KNOWN, ""))


async def get_style(_: Request) -> Response:
    """Return the style sheet."""
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(_read_style(), 200, CSS, headers)


async def show_not_found(_: Request) -> Response:
    """Show the page for an unknown path."""
    return _show_problem("Page not found", "Check the address.", 404)


@cache
def _read_style() -> bytes:
    return files("tollhouse.portal").joinpath("templates", "portal.css").read_bytes()


def _show(portal: Portal, request: Request, person: PortalUser, template: str, **values: Any) -> Response:
    token = build_form_token(request.cookies[SESSION])
    return show(template, person=person, form_token=token, is_live=portal.is_live, **values)


def _show_sign_in(
    portal: Portal,
    request: Request,
    *,
    next_page: str,
    email: str = "",
    problem: str = "",
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    visitor = get_visitor_token(request)
    return show(
        "sign_in.html",
        status=status,
        headers=headers,
        cookies=(portal.cookie(VISITOR, visitor, seconds=VISITOR_TIMEOUT_SECONDS),),
        form_token=build_form_token(visitor),
        next_page=choose_next_page(next_page),
        email=email[:MAX_FILTER_LENGTH],
        problem=problem,
        is_live=portal.is_live,
    )


def _show_sign_in_error(
    portal: Portal,
    request: Request,
    form: dict[str, str],
    problem: str,
    *,
    status: int,
    headers: dict[str, str] | None = None,
) -> Response:
    """Show the form again with the reason."""
    return _show_sign_in(
        portal,
        request,
        next_page=form.get("next_page", ""),
        email=form.get("email", ""),
        problem=problem,
        status=status,
        headers=headers,
    )


def _parse_day(text: str) -> date | None:
    """Parse a day from a date field; return None for an invalid one."""
    try:
        return min(max(date.fromisoformat(text), FIRST_DAY), LAST_DAY)
    except ValueError:
        return None


def _clean(text: str) -> str:
    return text.replace("\0", "").strip()[:MAX_FILTER_LENGTH]


def show_error(request: Request, error: Exception) -> Response:
    """Show a page about an error. Redirect a browser that is not signed in to the sign-in form, and later back."""
    if isinstance(error, NotAuthenticated):
        wanted = f"{request.path}?{request.query_string}" if request.query_string else request.path
        back = choose_next_page(wanted) if request.method in {"GET", "HEAD"} else choose_next_page("")
        return redirect_to(f"{PATH}/sign-in?{urlencode({'next_page': back})}")
    if isinstance(error, Rejection):
        return _show_rejection(error)
    log_defect(request, error)
    return _show_problem(
        "Something went wrong", "The fault is on our side. Try again; the gateway's log has the details.", 500
    )


def _show_rejection(error: Rejection) -> Response:
    match error:
        case Unavailable():
            text = "The database is unavailable, or the search took too long. Try again in a few seconds."
            return _show_problem("Temporarily unavailable", text, 503, build_retry_after(error))
        case NotFound():
            return _show_problem("Not found", str(error), 404)
        case TooLarge():
            return _show_problem("Request too large", "Send a smaller request.", 413)
        case _:
            return _show_problem("Request rejected", str(error), 403)


def _show_problem(heading: str, text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    return show("problem.html", status=status, headers=headers, heading=heading, text=text)


def _read_id(request: Request, name: str) -> int:
    """Return the ID in a path; 0, which is no ID of anything, for an invalid one."""
    return parse_id(request.path_parameters[name]) or 0


def _read_cursor(text: str) -> Cursor:
    """Read a cursor; return the start of the list for an invalid one."""
    found = parse_cursor(text, ids=2)
    return Cursor(found[0], *found[1]) if found else START_OF_LIST
