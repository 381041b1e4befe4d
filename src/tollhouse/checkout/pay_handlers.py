"""The payment pages, over HTTP.

    GET  /pay/KEY        the form, or the reason why the link cannot be paid
    POST /pay/KEY        submit a card
    GET  /pay/KEY/done   redirect by the outcome: to the shop, to the form again, or to a waiting page
    GET  /pay/KEY/back   redirect to the shop with the current result

The response to a POST is not a redirect, because the content security policy of the form's page would not let the
browser follow one to the shop. It is a page that continues by itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import structlog

from tollhouse.checkout.card_form import CARD_FIELDS, read_card_form
from tollhouse.checkout.http import (
    choose_page_words,
    get_peer_address,
    override_language,
    read_form,
    read_key,
    redirect,
    redirect_to_merchant,
    send,
)
from tollhouse.checkout.pages import ERROR_REFRESH_INTERVAL_SECONDS, HtmlPage
from tollhouse.checkout.pay_pages import NEW_CARD, FormContent, Frame, render_busy, render_end, render_form
from tollhouse.http.problems import build_retry_after
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Route
from tollhouse.kernel.errors import Invalid, RateLimited, Rejection, TooLarge, Unavailable
from tollhouse.kernel.faults import RequestRejected, Subject
from tollhouse.kernel.limits import RateLimit
from tollhouse.kernel.polling import growing_pauses
from tollhouse.links.dependencies import LinkDependencies
from tollhouse.links.model import Link, LinkState
from tollhouse.links.pay import ConsumerBrowser, create_form, is_form_of, pay_link
from tollhouse.links.store import find_link, find_stored_cards
from tollhouse.payments.dependencies import PaymentReader
from tollhouse.payments.pages import PATH, build_return_url, build_untried_return_url
from tollhouse.payments.reading.stored_payment import find_challenge_url, is_canceled
from tollhouse.threeds.model import BrowserData

#: Forms accepted per minute, for one link and from one address.
MAX_FORMS_PER_LINK = 20
MAX_FORMS_PER_ADDRESS = 120
MAX_BODY_BYTES = 16 * 1024

#: Time to wait for an unknown outcome. Then the consumer returns to the shop, which gets the outcome by callback.
MAX_WAIT = timedelta(seconds=10)
#: Time to wait for an outcome before a waiting page is sent.
INLINE_WAIT_TIMEOUT_SECONDS = 1.5
POLL_INTERVAL_SECONDS = 0.1
MAX_NUMBER_LENGTH = 4

#: Faults that the form shows: the field, and the key of the text.
FORM_FAULTS = {
    Subject.SOURCE: ("account", "fault_account"),
    Subject.STORED_CARD: ("account", "fault_account"),
    Subject.SECURITY_CODE: ("code", "fault_code"),
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PaymentPageDependencies:
    """Dependencies of the payment pages. In live, the form rejects expired cards."""

    links: LinkDependencies
    address_of: Callable[[Request], str] = get_peer_address
    is_stage: bool = True
    by_link: RateLimit = field(default_factory=lambda: RateLimit(MAX_FORMS_PER_LINK))
    by_address: RateLimit = field(default_factory=lambda: RateLimit(MAX_FORMS_PER_ADDRESS))

    @property
    def reader(self) -> PaymentReader:
        """The reader of the payments of a link."""
        return self.links.charging.requests.reader

    def build_frame(self, request: Request, link: Link | None = None) -> Frame:
        """Return the parts that all pages of a request share."""
        return Frame(choose_page_words(request, link.terms.language if link else None), self.is_stage, link)

    async def build_shop_frame(self, request: Request, link: Link) -> Frame:
        """Return the shared parts with the shop's URL and whether the consumer canceled the last payment."""
        is_stopped = link.last is not None and await is_canceled(self.reader, link.last)
        return replace(
            self.build_frame(request, link), shop_url=await _find_shop_url(self, link), is_canceled=is_stopped
        )


class PaymentPages:
    """The payment pages."""

    def __init__(self, deps: PaymentPageDependencies) -> None:
        self._deps = deps

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", f"{PATH}/{{key}}", self.show_page, on_error=self.show_error),
            Route("POST", f"{PATH}/{{key}}", self.submit_form, on_error=self.show_error),
            Route("GET", f"{PATH}/{{key}}/done", self.show_result, on_error=self.show_error),
            Route("GET", f"{PATH}/{{key}}/back", self.return_to_shop, on_error=self.show_error),
        ]

    async def show_page(self, request: Request) -> Response:
        """Show the form, or the reason why the link cannot be paid."""
        deps, key = self._deps, read_key(request)
        link = await find_link(deps.links.database, key)
        if link.state is LinkState.BUSY:
            return redirect(await _find_challenge(deps, link) or f"{PATH}/{key}/done")
        if link.state is LinkState.OPEN:
            return send(await _build_form_page(deps, request, link, key=key))
        return await _show_end(deps, request, link)

    async def submit_form(self, request: Request) -> Response:
        """Charge the submitted card."""
        deps, key = self._deps, read_key(request)
        link = await find_link(deps.links.database, key)
        deps.by_link.check((link.merchant_id, link.payment_id))
        deps.by_address.check(deps.address_of(request))
        form = await read_form(request, limit_bytes=MAX_BODY_BYTES, card_fields=CARD_FIELDS)
        try:
            return await _submit_form(deps, request, link, key=key, form=form)
        except Invalid:
            frame = await deps.build_shop_frame(request, link)
            return send(render_end(frame, "refused", "bad"), status=409)

    async def show_result(self, request: Request) -> Response:
        """Redirect by the outcome: to the shop, to the form again, or to a waiting page."""
        deps, key = self._deps, read_key(request)
        link = await _wait_for_outcome(deps, key)
        if link.state is LinkState.PAID and link.last:
            return redirect_to_merchant(
                await build_return_url(deps.links.returns, link.last), deps.build_frame(request, link).words
            )
        if link.state is LinkState.BUSY and link.last:
            if deps.links.charging.clock.now() - link.last.attempt.sent_at > MAX_WAIT:
                return redirect_to_merchant(
                    await build_return_url(deps.links.returns, link.last), deps.build_frame(request, link).words
                )
            return send(render_busy(deps.build_frame(request, link), path=f"{PATH}/{key}/done"))
        return redirect(f"{PATH}/{key}")

    async def return_to_shop(self, request: Request) -> Response:
        """Redirect to the shop with the current result."""
        deps, key = self._deps, read_key(request)
        link = await find_link(deps.links.database, key)
        url = await _find_shop_url(deps, link)
        return redirect_to_merchant(url, deps.build_frame(request, link).words) if url else redirect(f"{PATH}/{key}")

    def show_error(self, request: Request, error: Exception) -> Response:
        """Show a page about an error.

        After an internal error the page is loaded again, because the card may have been charged.
        """
        frame = self._deps.build_frame(request)
        match error:
            case Unavailable():
                page = render_busy(frame, path=request.path, seconds=ERROR_REFRESH_INTERVAL_SECONDS)
                return send(page, status=503, headers=build_retry_after(error))
            case RateLimited():
                page = render_end(frame, "limited", "late", url=request.path, to_page=True)
                return send(page, status=429, headers=build_retry_after(error))
            case TooLarge():
                return send(render_end(frame, "unknown", "bad"), status=413)
            case Rejection():
                return send(render_end(frame, "unknown", "bad"), status=404)
            case _:
                log.error("page.failed", page="payment", error=type(error).__name__, exc_info=error)
                return send(render_busy(frame, path=request.path, seconds=ERROR_REFRESH_INTERVAL_SECONDS), status=500)


async def _submit_form(
    deps: PaymentPageDependencies, request: Request, link: Link, *, key: str, form: Mapping[str, str]
) -> Response:
    """Charge the card of a form, or show the form again with its faults."""
    number = _read_number(form)
    is_own = is_form_of(deps.links, link, number=number, proof=form.get("proof", ""))
    if not is_own or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        page = render_end(deps.build_frame(request, link), "stale", "bad", url=f"{PATH}/{key}", to_page=True)
        return send(page, status=403)
    if link.state is not LinkState.OPEN or number != link.attempts + 1:
        return _continue_at(deps, request, link, f"{PATH}/{key}/done")
    filled = read_card_form(form, today=None if deps.is_stage else datetime.now(UTC))
    if filled.card is None:
        page = await _build_form_page(deps, request, link, key=key, faults=filled.faults, form=form, kept=filled.kept)
        return send(page, status=400)
    try:
        rendered = await pay_link(
            deps.links, link, filled.card, _read_browser(deps, request, link, form), number=number
        )
    except Invalid as error:
        page = await _build_form_page(
            deps, request, link, key=key, faults=_name_faults(error), form=form, kept=filled.kept
        )
        return send(page, status=400)
    return _continue_at(
        deps, request, link, _find_next_url(rendered.body if rendered else None) or f"{PATH}/{key}/done"
    )


def _name_faults(error: Invalid) -> dict[str, str]:
    """Return faults found by the vault as keys of texts, by field. Raises the error again if it concerns no field."""
    faults = error.faults if isinstance(error, RequestRejected) else ()
    if not faults or any(fault.subject not in FORM_FAULTS for fault in faults):
        raise error
    return dict(FORM_FAULTS[fault.subject] for fault in faults)


def _find_next_url(response: bytes | None) -> str | None:
    """Return the challenge URL in a payment's response, if there is one."""
    url: str | None = json.loads(response)["payment"].get("url") if response else None
    return url


def _continue_at(deps: PaymentPageDependencies, request: Request, link: Link, path: str) -> Response:
    return send(render_busy(deps.build_frame(request, link), path=path, seconds=0))


async def _build_form_page(
    deps: PaymentPageDependencies,
    request: Request,
    link: Link,
    *,
    key: str,
    faults: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    kept: Mapping[str, str] | None = None,
) -> HtmlPage:
    number, proof = create_form(deps.links, link)
    cards = await find_stored_cards(deps.links.database, link)
    chosen = (form.get("account") or NEW_CARD) if form else ""
    content = FormContent(f"{PATH}/{key}", number, proof, cards, faults or {}, chosen, kept or {})
    frame = await deps.build_shop_frame(request, link)
    back = f"{PATH}/{key}/back" if frame.shop_url else None
    return render_form(replace(frame, shop_url=back), link, content)


async def _show_end(deps: PaymentPageDependencies, request: Request, link: Link) -> Response:
    """Show the reason why the link cannot be paid, with a link to the shop."""
    frame = await deps.build_shop_frame(request, link)
    key, tone = {
        LinkState.PAID: ("paid", "good"),
        LinkState.SPENT: ("spent", "bad"),
        LinkState.CLOSED: ("refused", "bad"),
    }.get(link.state, ("expired", "late"))
    return send(render_end(frame, key, tone), status=410)  # type: ignore[arg-type]  # tones


async def _find_shop_url(deps: PaymentPageDependencies, link: Link) -> str | None:
    """Return the shop's URL with the result, or with the order ID alone if no card was submitted."""
    if link.last is not None:
        return await build_return_url(deps.links.returns, link.last)
    url = link.terms.redirect_url or link.site_redirect_url
    if not url:
        return None
    return await build_untried_return_url(
        deps.links.returns, merchant_id=link.merchant_id, payment_id=link.payment_id, url=url
    )


async def _find_challenge(deps: PaymentPageDependencies, link: Link) -> str | None:
    return await find_challenge_url(deps.reader, link.last) if link.last else None


async def _wait_for_outcome(deps: PaymentPageDependencies, key: str) -> Link:
    """Return a link, after a short wait if its payment has no outcome yet."""
    link = await find_link(deps.links.database, key)
    for pause in growing_pauses(
        INLINE_WAIT_TIMEOUT_SECONDS, min_seconds=POLL_INTERVAL_SECONDS, max_seconds=POLL_INTERVAL_SECONDS
    ):
        if link.state is not LinkState.BUSY:
            break
        await asyncio.sleep(pause)
        link = await find_link(deps.links.database, key)
    return link


def _read_browser(
    deps: PaymentPageDependencies, request: Request, link: Link, form: Mapping[str, str]
) -> ConsumerBrowser:
    address = deps.address_of(request)
    browser = BrowserData.from_page(form, request.headers, ip=address)
    return ConsumerBrowser(address, override_language(browser, link.terms.language))


def _read_number(form: Mapping[str, str]) -> int:
    text = form.get("try", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER_LENGTH else 0
