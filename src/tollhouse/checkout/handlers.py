"""The pages of 3-D Secure. Errors are pages too."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from tollhouse.checkout import pages
from tollhouse.checkout.http import (
    choose_page_words,
    get_peer_address,
    override_language,
    read_form,
    read_key,
    redirect,
    redirect_to_merchant,
    respond_readiness,
    send,
)
from tollhouse.checkout.pages import ASSET_TYPES, ASSETS_PATH, read_asset
from tollhouse.checkout.words import Words
from tollhouse.http.problems import build_retry_after
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Handler, Route
from tollhouse.kernel.errors import NotFound, Rejection, TooLarge, Unavailable
from tollhouse.links.store import find_language
from tollhouse.payments.authentication.challenge_flow import (
    Challenge,
    Collect,
    Confirm,
    Ended,
    FindStep,
    Redirect,
    Step,
    Wait,
    complete_method,
    find_payment,
    is_waiting,
    load_step,
    open_return,
    receive_return,
    submit_browser,
    wait_for_step,
)
from tollhouse.payments.dependencies import AuthenticationDependencies
from tollhouse.storage.database import Database
from tollhouse.threeds.model import BrowserData

AddressOf = Callable[[Request], str]

MAX_BODY_BYTES = 64 * 1024

#: Time to wait for the next step before a waiting page is sent.
INLINE_WAIT_TIMEOUT_SECONDS = 1.5
POLL_TIMEOUT_SECONDS = 8.0

log = structlog.get_logger()


class CheckoutPages:
    """The pages of 3-D Secure. `address_of` returns the browser's address, also behind proxies."""

    def __init__(self, authentication: AuthenticationDependencies, *, address_of: AddressOf = get_peer_address) -> None:
        self._authentication = authentication
        self._address_of = address_of

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            self._route("GET", "/3ds/{key}", self.show_page),
            self._route("POST", "/3ds/{key}", self.receive_browser_data),
            self._route("GET", "/3ds/{key}/wait", self.poll_page),
            self._route("GET", "/3ds/return/{key}", self.show_return),
            self._route("POST", "/3ds/return/{key}", self.receive_browser_return),
            self._route("GET", "/3ds/return/{key}/wait", self.poll_return),
            self._route("POST", "/3ds/method/{key}", self.receive_method_notification),
            self._route("GET", f"{ASSETS_PATH}{{name}}", serve_asset),
        ]

    @staticmethod
    def _route(method: str, path: str, handler: Handler) -> Route:
        return Route(method, path, handler, on_error=show_error)

    async def show_page(self, request: Request) -> Response:
        """Show the next step of an authentication."""
        key = read_key(request)
        return await self._show_step(request, key, load_step, path=f"/3ds/{key}")

    async def receive_browser_data(self, request: Request) -> Response:
        """Receive data of the browser.

        The response is not a redirect, because the content security policy of the form's page would not let the browser
        follow one to the shop.
        """
        key, authentication = read_key(request), self._authentication
        form = await read_form(request, limit_bytes=MAX_BODY_BYTES)
        wanted = await find_language(self._authentication.database, await find_payment(authentication, key))
        browser = BrowserData.from_page(form, request.headers, ip=self._address_of(request))
        await submit_browser(authentication, key, override_language(browser, wanted))
        words = choose_page_words(request, wanted)
        return send(pages.render_wait(None, words, path=f"/3ds/{key}", poll_path=None))

    async def poll_page(self, request: Request) -> Response:
        """Return to a waiting page whether the next step is ready."""
        return await self._poll(request, load_step)

    async def receive_browser_return(self, request: Request) -> Response:
        """Receive the browser on its return from the challenge."""
        key = read_key(request)
        form = await read_form(request, limit_bytes=MAX_BODY_BYTES)
        await receive_return(self._authentication, key, form.get("cres", ""))
        return redirect(f"/3ds/return/{key}")

    async def show_return(self, request: Request) -> Response:
        """Show the next step after the return from the challenge."""
        key = read_key(request)
        return await self._show_step(request, key, open_return, path=f"/3ds/return/{key}")

    async def poll_return(self, request: Request) -> Response:
        """Return to a waiting page whether the outcome is known."""
        return await self._poll(request, open_return)

    async def receive_method_notification(self, request: Request) -> Response:
        """Receive the notification that the 3DS Method has completed."""
        data = (await read_form(request, limit_bytes=MAX_BODY_BYTES)).get("threeDSMethodData", "")
        if not await complete_method(self._authentication, read_key(request), data):
            raise NotFound
        return send(pages.render_method())

    async def _show_step(self, request: Request, key: str, find_step: FindStep, *, path: str) -> Response:
        """Show the next step, after a short wait if it is not ready."""
        step = await find_step(self._authentication, key)
        if isinstance(step, Wait):
            step = await wait_for_step(self._authentication, key, find_step, seconds=INLINE_WAIT_TIMEOUT_SECONDS)
        return _show(step, await _find_words(self._authentication.database, request, step), path=path)

    async def _poll(self, request: Request, find_step: FindStep) -> Response:
        """Respond as soon as the next step is ready, or after a time-out."""
        step = await wait_for_step(self._authentication, read_key(request), find_step, seconds=POLL_TIMEOUT_SECONDS)
        return respond_readiness(ready=not is_waiting(step))


async def serve_asset(request: Request) -> Response:
    """Return a static file; its URL changes with its content."""
    name = request.path_parameters["name"]
    try:
        content = read_asset(name)
    except KeyError:
        raise NotFound from None
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(content, 200, ASSET_TYPES[name.rpartition(".")[2]], headers)


async def _find_words(database: Database, request: Request, step: Step) -> Words:
    """Return the texts of a step in the language of the payment page, or else in the browser's."""
    wanted = None if isinstance(step, Redirect) else await find_language(database, step.payment)
    return choose_page_words(request, wanted)


def _show(step: Step, words: Words, *, path: str) -> Response:
    match step:
        case Redirect():
            return redirect_to_merchant(step.url, words)
        case Collect():
            return send(pages.render_collect(step, words, path=path))
        case Challenge():
            return send(pages.render_challenge(step, words))
        case Confirm():
            page = pages.render_wait(step.payment, words, path=path, poll_path=f"{path}/wait", about="confirm")
            return send(page)
        case Wait():
            return send(pages.render_wait(step.payment, words, path=path, poll_path=f"{path}/wait"))
        case Ended():
            return send(pages.render_ended(step, words))


def show_error(request: Request, error: Exception) -> Response:
    """Show a page about an error."""
    words = choose_page_words(request)
    match error:
        case Unavailable():
            page = pages.render_problem("unavailable", words, is_temporary=True)
            return send(page, status=503, headers=build_retry_after(error))
        case TooLarge():
            return send(pages.render_problem("too_large", words), status=413)
        case Rejection():
            return send(pages.render_problem("not_found", words), status=404)
        case _:
            log.error("page.failed", page="challenge", error=type(error).__name__, exc_info=error)
            return send(pages.render_problem("failed_page", words), status=500)
