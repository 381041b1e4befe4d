"""The pages of 3-D Secure. Browsers get pages, also when something is wrong."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from tollhouse.checkout import pages
from tollhouse.checkout.assets import PATH as ASSETS_PATH
from tollhouse.checkout.assets import TYPES, read_asset
from tollhouse.checkout.http import (
    choose_page_words,
    leave,
    peer_of,
    read_form,
    read_key,
    redirect,
    respond_readiness,
    send,
    speak,
)
from tollhouse.checkout.words import Words
from tollhouse.http.problems import build_retry_after
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Handler, Route
from tollhouse.kernel.errors import NotFound, Refusal, TooLarge, Unavailable
from tollhouse.links.find import find_language
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

#: A page that would only say "wait" is held back this long, in case that it need not.
INLINE_WAIT_SECONDS = 1.5
POLL_SECONDS = 8.0

log = structlog.get_logger()


class CheckoutPages:
    """The pages of 3-D Secure. `address_of` tells a browser's address, behind proxies too."""

    def __init__(self, authentication: AuthenticationDependencies, *, address_of: AddressOf = peer_of) -> None:
        self._authentication = authentication
        self._address_of = address_of

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            self._route("GET", "/3ds/{key}", self.show_page),
            self._route("POST", "/3ds/{key}", self.take_browser),
            self._route("GET", "/3ds/{key}/wait", self.poll_page),
            self._route("GET", "/3ds/return/{key}", self.show_return),
            self._route("POST", "/3ds/return/{key}", self.take_return),
            self._route("GET", "/3ds/return/{key}/wait", self.poll_return),
            self._route("POST", "/3ds/method/{key}", self.take_method),
            self._route("GET", f"{ASSETS_PATH}{{name}}", serve_asset),
        ]

    @staticmethod
    def _route(method: str, path: str, handler: Handler) -> Route:
        return Route(method, path, handler, answer_error=show_error)

    async def show_page(self, request: Request) -> Response:
        """Show the next step of an authentication."""
        key = read_key(request)
        return await self._show_step(request, key, load_step, path=f"/3ds/{key}")

    async def take_browser(self, request: Request) -> Response:
        """Take the data of the browser.

        There is no redirect: the way may lead to the shop, and the policy of the page with the form would not let the
        browser go there.
        """
        key, authentication = read_key(request), self._authentication
        form = await read_form(request, limit_bytes=MAX_BODY_BYTES)
        wanted = await find_language(self._authentication.database, await find_payment(authentication, key))
        browser = BrowserData.from_page(form, request.headers, ip=self._address_of(request))
        await submit_browser(authentication, key, speak(browser, wanted))
        words = choose_page_words(request, wanted)
        return send(pages.render_wait(None, words, path=f"/3ds/{key}", poll_path=None))

    async def poll_page(self, request: Request) -> Response:
        """Tell a page that waits when there is a next step."""
        return await self._poll(request, load_step)

    async def take_return(self, request: Request) -> Response:
        """Take the browser back from the bank."""
        key = read_key(request)
        form = await read_form(request, limit_bytes=MAX_BODY_BYTES)
        await receive_return(self._authentication, key, form.get("cres", ""))
        return redirect(f"/3ds/return/{key}")

    async def show_return(self, request: Request) -> Response:
        """Show what follows the return from the bank."""
        key = read_key(request)
        return await self._show_step(request, key, open_return, path=f"/3ds/return/{key}")

    async def poll_return(self, request: Request) -> Response:
        """Tell a page that waits when the outcome is known."""
        return await self._poll(request, open_return)

    async def take_method(self, request: Request) -> Response:
        """Take the notice that the bank's script has run."""
        data = (await read_form(request, limit_bytes=MAX_BODY_BYTES)).get("threeDSMethodData", "")
        if not await complete_method(self._authentication, read_key(request), data):
            raise NotFound
        return send(pages.render_method())

    async def _show_step(self, request: Request, key: str, find_step: FindStep, *, path: str) -> Response:
        """Show the next step, after a moment if the page would only wait."""
        step = await find_step(self._authentication, key)
        if isinstance(step, Wait):
            step = await wait_for_step(self._authentication, key, find_step, seconds=INLINE_WAIT_SECONDS)
        return _show(step, await _find_words(self._authentication.database, request, step), path=path)

    async def _poll(self, request: Request, find_step: FindStep) -> Response:
        """Answer as soon as a waiting page has a further step, or after a time-out."""
        step = await wait_for_step(self._authentication, read_key(request), find_step, seconds=POLL_SECONDS)
        return respond_readiness(ready=not is_waiting(step))


async def serve_asset(request: Request) -> Response:
    """Serve one of the pages' own files; its address changes with its content."""
    name = request.path_parameters["name"]
    try:
        content = read_asset(name)
    except KeyError:
        raise NotFound from None
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(content, 200, TYPES[name.rpartition(".")[2]], headers)


async def _find_words(database: Database, request: Request, step: Step) -> Words:
    """Return the words of a step: in the language of the payment's page, or else in the browser's."""
    wanted = None if isinstance(step, Redirect) else await find_language(database, step.payment)
    return choose_page_words(request, wanted)


def _show(step: Step, words: Words, *, path: str) -> Response:
    match step:
        case Redirect():
            return leave(step.url, words)
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
            page = pages.render_problem("away", words, comes_back=True)
            return send(page, status=503, headers=build_retry_after(error))
        case TooLarge():
            return send(pages.render_problem("faulty", words), status=413)
        case Refusal():
            return send(pages.render_problem("nothing", words), status=404)
        case _:
            log.error("page.failed", page="challenge", error=type(error).__name__, exc_info=error)
            return send(pages.render_problem("defect", words), status=500)
