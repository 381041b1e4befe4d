"""The payment pages, over HTTP.

    GET  /pay/KEY        the form, or why there is none
    POST /pay/KEY        one try
    GET  /pay/KEY/done   where a try has led: to the shop, to the form again, or to a wait
    GET  /pay/KEY/back   back to the shop, with what is known

A browser gets no redirect for a POST: the way leads to the shop, and the policy of the page with the form would not
let it go there. It gets a page that goes on by itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from tollhouse.checkout.card_form import CARD_FIELDS, read_card_form
from tollhouse.checkout.http import (
    choose_page_words,
    leave,
    peer_of,
    read_form,
    read_key,
    redirect,
    send,
    speak,
)
from tollhouse.checkout.pages import TROUBLE_REFRESH_SECONDS, HtmlPage
from tollhouse.checkout.pay_pages import NEW_CARD, Form, Frame, render_busy, render_end, render_form
from tollhouse.http.problems import build_retry_after
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Route
from tollhouse.kernel.errors import Invalid, RateLimited, Refusal, TooLarge, Unavailable
from tollhouse.kernel.faults import RequestRejected, Subject
from tollhouse.kernel.limits import RateLimit
from tollhouse.kernel.polling import growing_pauses
from tollhouse.links.dependencies import LinkDependencies
from tollhouse.links.find import find_link, find_stored_cards
from tollhouse.links.model import LinkState
from tollhouse.links.pay import ConsumerBrowser, create_form, is_form_of, pay_link
from tollhouse.payments.pages import PATH, build_return_url, build_untried_return_url
from tollhouse.payments.reading.stored_payment import find_challenge_url, is_canceled
from tollhouse.threeds.model import BrowserData

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tollhouse.links.model import Link
    from tollhouse.payments.dependencies import PaymentReader

#: Forms taken from one link, and from one address, a minute.
FORMS_BY_LINK = 20
FORMS_BY_ADDRESS = 120
MAX_BODY_BYTES = 16 * 1024

#: How long a buyer waits for an outcome that is open; then the shop gets them back, and hears the outcome by IPN.
MAX_WAIT = timedelta(seconds=10)
#: A page that would only say "wait" is held back this long, in case that it need not.
INLINE_WAIT_SECONDS = 1.5
PAUSE_SECONDS = 0.1
MAX_NUMBER_LENGTH = 4

#: Faults that the form shows: the field, and the key of the words.
FORM_FAULTS = {
    Subject.SOURCE: ("account", "fault_account"),
    Subject.STORED_CARD: ("account", "fault_account"),
    Subject.SECURITY_CODE: ("code", "fault_code"),
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PaymentPageDependencies:
    """What the pages work with. In live, the form refuses a card whose expiry is past."""

    links: LinkDependencies
    address_of: Callable[[Request], str] = peer_of
    is_stage: bool = True
    by_link: RateLimit = field(default_factory=lambda: RateLimit(FORMS_BY_LINK))
    by_address: RateLimit = field(default_factory=lambda: RateLimit(FORMS_BY_ADDRESS))

    @property
    def reader(self) -> PaymentReader:
        """What reads the tries of a page."""
        return self.links.charging.requests.reader

    def frame(self, request: Request, link: Link | None = None) -> Frame:
        """Return what the page of a request has in common with all others."""
        return Frame(choose_page_words(request, link.terms.language if link else None), self.is_stage, link)

    async def frame_with_way(self, request: Request, link: Link) -> Frame:
        """Return the same, with the way to the shop and whether the consumer stopped the last try."""
        is_stopped = link.last is not None and await is_canceled(self.reader, link.last)
        return replace(self.frame(request, link), shop_url=await _find_shop_url(self, link), is_canceled=is_stopped)


class PaymentPages:
    """The payment pages."""

    def __init__(self, till: PaymentPageDependencies) -> None:
        self._till = till

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", f"{PATH}/{{key}}", self.show_page, answer_error=self.show_error),
            Route("POST", f"{PATH}/{{key}}", self.take_form, answer_error=self.show_error),
            Route("GET", f"{PATH}/{{key}}/done", self.show_result, answer_error=self.show_error),
            Route("GET", f"{PATH}/{{key}}/back", self.go_back, answer_error=self.show_error),
        ]

    async def show_page(self, request: Request) -> Response:
        """Show the form, or why there is none."""
        till, key = self._till, read_key(request)
        link = await find_link(till.links.database, key)
        if link.state is LinkState.BUSY:
            return redirect(await _find_challenge(till, link) or f"{PATH}/{key}/done")
        if link.state is LinkState.OPEN:
            return send(await _draw_page(till, request, link, key=key))
        return await _show_end(till, request, link)

    async def take_form(self, request: Request) -> Response:
        """Try to pay."""
        till, key = self._till, read_key(request)
        link = await find_link(till.links.database, key)
        till.by_link.check((link.merchant_id, link.payment_id))
        till.by_address.check(till.address_of(request))
        form = await read_form(request, limit_bytes=MAX_BODY_BYTES, card_fields=CARD_FIELDS)
        try:
            return await _take_form(till, request, link, key=key, form=form)
        except Invalid:
            frame = await till.frame_with_way(request, link)
            return send(render_end(frame, "refused", "bad"), status=409)

    async def show_result(self, request: Request) -> Response:
        """Lead to the shop, to the form again, or to a wait."""
        till, key = self._till, read_key(request)
        link = await _wait_a_moment(till, key)
        if link.state is LinkState.PAID and link.last:
            return leave(await build_return_url(till.links.returns, link.last), till.frame(request, link).words)
        if link.state is LinkState.BUSY and link.last:
            if till.links.charging.clock.now() - link.last.attempt.sent_at > MAX_WAIT:
                return leave(await build_return_url(till.links.returns, link.last), till.frame(request, link).words)
            return send(render_busy(till.frame(request, link), path=f"{PATH}/{key}/done"))
        return redirect(f"{PATH}/{key}")

    async def go_back(self, request: Request) -> Response:
        """Lead to the shop, with what is known."""
        till, key = self._till, read_key(request)
        link = await find_link(till.links.database, key)
        url = await _find_shop_url(till, link)
        return leave(url, till.frame(request, link).words) if url else redirect(f"{PATH}/{key}")

    def show_error(self, request: Request, error: Exception) -> Response:
        """Show a page about an error.

        After a defect the page is shown again: the acquirer may have been asked, so nothing can be said of a charge.
        """
        frame = self._till.frame(request)
        match error:
            case Unavailable():
                page = render_busy(frame, path=request.path, seconds=TROUBLE_REFRESH_SECONDS)
                return send(page, status=503, headers=build_retry_after(error))
            case RateLimited():
                page = render_end(frame, "limited", "late", url=request.path, to_page=True)
                return send(page, status=429, headers=build_retry_after(error))
            case TooLarge():
                return send(render_end(frame, "unknown", "bad"), status=413)
            case Refusal():
                return send(render_end(frame, "unknown", "bad"), status=404)
            case _:
                log.error("page.failed", page="payment", error=type(error).__name__, exc_info=error)
                return send(render_busy(frame, path=request.path, seconds=TROUBLE_REFRESH_SECONDS), status=500)


async def _take_form(
    till: PaymentPageDependencies, request: Request, link: Link, *, key: str, form: Mapping[str, str]
) -> Response:
    """Try to pay with what a form says; or show it again, with what is wrong."""
    number = _read_number(form)
    is_own = is_form_of(till.links, link, number=number, proof=form.get("proof", ""))
    if not is_own or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        page = render_end(till.frame(request, link), "stale", "bad", url=f"{PATH}/{key}", to_page=True)
        return send(page, status=403)
    if link.state is not LinkState.OPEN or number != link.attempts + 1:
        return _go_on(till, request, link, f"{PATH}/{key}/done")
    filled = read_card_form(form, today=None if till.is_stage else datetime.now(UTC))
    if filled.means is None:
        page = await _draw_page(till, request, link, key=key, faults=filled.faults, form=form, kept=filled.kept)
        return send(page, status=400)
    try:
        reply = await pay_link(
            till.links, link, filled.means, _describe_buyer(till, request, link, form), number=number
        )
    except Invalid as error:
        page = await _draw_page(till, request, link, key=key, faults=_name_faults(error), form=form, kept=filled.kept)
        return send(page, status=400)
    return _go_on(till, request, link, _find_way(reply.body if reply else None) or f"{PATH}/{key}/done")


def _name_faults(error: Invalid) -> dict[str, str]:
    """Say in words of the page what only the vault could know. Raises the error again if it is no fault of the form."""
    faults = error.faults if isinstance(error, RequestRejected) else ()
    if not faults or any(fault.subject not in FORM_FAULTS for fault in faults):
        raise error
    return dict(FORM_FAULTS[fault.subject] for fault in faults)


def _find_way(answer: bytes | None) -> str | None:
    """Return where the answer to a payment sends the cardholder, if it does."""
    way: str | None = json.loads(answer)["payment"].get("url") if answer else None
    return way


def _go_on(till: PaymentPageDependencies, request: Request, link: Link, path: str) -> Response:
    return send(render_busy(till.frame(request, link), path=path, seconds=0))


async def _draw_page(
    till: PaymentPageDependencies,
    request: Request,
    link: Link,
    *,
    key: str,
    faults: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    kept: Mapping[str, str] | None = None,
) -> HtmlPage:
    number, proof = create_form(till.links, link)
    cards = await find_stored_cards(till.links.database, link)
    chosen = (form.get("account") or NEW_CARD) if form else ""
    drawn = Form(f"{PATH}/{key}", number, proof, cards, faults or {}, chosen, kept or {})
    frame = await till.frame_with_way(request, link)
    back = f"{PATH}/{key}/back" if frame.shop_url else None
    return render_form(replace(frame, shop_url=back), link, drawn)


async def _show_end(till: PaymentPageDependencies, request: Request, link: Link) -> Response:
    """Show why there is nothing to pay any more, and the way to the shop."""
    frame = await till.frame_with_way(request, link)
    key, mood = {
        LinkState.PAID: ("paid", "good"),
        LinkState.SPENT: ("spent", "bad"),
        LinkState.CLOSED: ("refused", "bad"),
    }.get(link.state, ("expired", "late"))
    return send(render_end(frame, key, mood), status=410)  # type: ignore[arg-type]  # moods


async def _find_shop_url(till: PaymentPageDependencies, link: Link) -> str | None:
    """Return the way to the shop with the result, which is only the order where no card was tried."""
    if link.last is not None:
        return await build_return_url(till.links.returns, link.last)
    url = link.terms.redirect_url or link.site_redirect_url
    if not url:
        return None
    return await build_untried_return_url(
        till.links.returns, merchant_id=link.merchant_id, payment_id=link.payment_id, url=url
    )


async def _find_challenge(till: PaymentPageDependencies, link: Link) -> str | None:
    return await find_challenge_url(till.reader, link.last) if link.last else None


async def _wait_a_moment(till: PaymentPageDependencies, key: str) -> Link:
    """Return a link, after a moment if the outcome of its try is open."""
    link = await find_link(till.links.database, key)
    for pause in growing_pauses(INLINE_WAIT_SECONDS, min_seconds=PAUSE_SECONDS, max_seconds=PAUSE_SECONDS):
        if link.state is not LinkState.BUSY:
            break
        await asyncio.sleep(pause)
        link = await find_link(till.links.database, key)
    return link


def _describe_buyer(
    till: PaymentPageDependencies, request: Request, link: Link, form: Mapping[str, str]
) -> ConsumerBrowser:
    address = till.address_of(request)
    browser = BrowserData.from_page(form, request.headers, ip=address)
    return ConsumerBrowser(address, speak(browser, link.terms.language))


def _read_number(form: Mapping[str, str]) -> int:
    text = form.get("try", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER_LENGTH else 0
