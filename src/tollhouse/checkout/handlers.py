"""What browsers ask of the checkout, over HTTP. They get pages, also when something is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog
from litestar import Response, Router, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath

from tollhouse.checkout import pages
from tollhouse.checkout.assets import PATH as ASSETS_PATH
from tollhouse.checkout.assets import TYPES, read_asset
from tollhouse.checkout.http import (
    AnyRequest,
    check_key,
    choose_page_words,
    leave,
    peer_of,
    read_form,
    redirect,
    respond_readiness,
    send,
    speak,
)
from tollhouse.kernel.errors import NotFound, Refusal, Unavailable
from tollhouse.links.find import find_language
from tollhouse.payments.authentication.challenge_flow import (
    Challenge,
    Collect,
    Confirm,
    Ended,
    Redirect,
    Step,
    Wait,
    complete_method,
    find_payment,
    look_after_return,
    open_page,
    receive_return,
    submit_browser,
    wait_after_return,
    wait_on_page,
)
from tollhouse.threeds.model import BrowserData

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler
    from litestar.types import ControllerRouterHandler

    from tollhouse.checkout.words import Words
    from tollhouse.payments.tools import Tools

AddressOf = Callable[[AnyRequest], str]

MAX_BODY_BYTES = 64 * 1024

#: A page that would only say "wait" is held back this long, in case that it need not.
INLINE_WAIT_SECONDS = 1.5
POLL_SECONDS = 8.0

log = structlog.get_logger()


def checkout_handlers(tools: Tools, *, address_of: AddressOf | None = None) -> list[ControllerRouterHandler]:
    """Return the routes for browsers. `address_of` tells a browser's address, behind proxies too."""
    routes = [
        *_page_routes(tools, address_of or peer_of),
        *_return_routes(tools),
        *_method_routes(tools),
        serve_asset,
    ]
    browsers = Router(
        "/",
        route_handlers=routes,
        request_max_body_size=MAX_BODY_BYTES,
        include_in_schema=False,
        exception_handlers={Refusal: _show_refusal, HTTPException: _show_faulty, Exception: _show_defect},
    )
    return [browsers]


def _page_routes(tools: Tools, address_of: AddressOf) -> list[HTTPRouteHandler]:
    @get("/3ds/{key:str}")
    async def show_page(request: AnyRequest, key: FromPath[str]) -> Response[str]:
        key = check_key(key)
        step = await _settle_on(
            lambda: open_page(tools.authentication, key), lambda s: wait_on_page(tools.authentication, key, seconds=s)
        )
        return _show(step, await _find_words(tools, request, step), path=f"/3ds/{key}")

    @post("/3ds/{key:str}", status_code=200)
    async def take_browser(request: AnyRequest, key: FromPath[str]) -> Response[str]:
        key = check_key(key)
        form = await read_form(request)
        wanted = await find_language(tools.database, await find_payment(tools.authentication, key))
        browser = BrowserData.from_page(form, request.headers, ip=address_of(request))
        await submit_browser(tools.authentication, key, speak(browser, wanted))
        # No redirect: the way may lead to the shop, and the policy of the page with the form would not let it go there.
        words = choose_page_words(request, wanted)
        return send(pages.render_wait(None, words, path=f"/3ds/{key}", poll_path=None))

    @get("/3ds/{key:str}/wait")
    async def poll_page(key: FromPath[str]) -> Response[dict[str, bool]]:
        return respond_readiness(ready=await wait_on_page(tools.authentication, check_key(key), seconds=POLL_SECONDS))

    return [show_page, take_browser, poll_page]


def _return_routes(tools: Tools) -> list[HTTPRouteHandler]:
    @post("/3ds/return/{key:str}", status_code=303)
    async def take_return(request: AnyRequest, key: FromPath[str]) -> Response[str]:
        key = check_key(key)
        await receive_return(tools.authentication, key, (await read_form(request)).get("cres", ""))
        return redirect(f"/3ds/return/{key}")

    @get("/3ds/return/{key:str}")
    async def show_return(request: AnyRequest, key: FromPath[str]) -> Response[str]:
        key = check_key(key)
        step = await _settle_on(
            lambda: look_after_return(tools.authentication, key),
            lambda s: wait_after_return(tools.authentication, key, seconds=s),
        )
        return _show(step, await _find_words(tools, request, step), path=f"/3ds/return/{key}")

    @get("/3ds/return/{key:str}/wait")
    async def poll_return(key: FromPath[str]) -> Response[dict[str, bool]]:
        return respond_readiness(
            ready=await wait_after_return(tools.authentication, check_key(key), seconds=POLL_SECONDS)
        )

    return [take_return, show_return, poll_return]


def _method_routes(tools: Tools) -> list[HTTPRouteHandler]:
    @post("/3ds/method/{key:str}", status_code=200)
    async def take_method(request: AnyRequest, key: FromPath[str]) -> Response[str]:
        data = (await read_form(request)).get("threeDSMethodData", "")
        if not await complete_method(tools.authentication, check_key(key), data):
            raise NotFound
        return send(pages.render_method())

    return [take_method]


@get(ASSETS_PATH + "{name:str}")
async def serve_asset(name: FromPath[str]) -> Response[bytes]:
    """Serve one of the pages' own files; its address changes with its content."""
    try:
        content = read_asset(name)
    except KeyError:
        raise NotFound from None
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=TYPES[name.rpartition(".")[2]], headers=headers)


async def _settle_on(look: Callable[[], Awaitable[Step]], wait: Callable[[float], Awaitable[bool]]) -> Step:
    """Return the next step, after a moment if it is only to wait."""
    step = await look()
    return await look() if isinstance(step, Wait) and await wait(INLINE_WAIT_SECONDS) else step


async def _find_words(tools: Tools, request: AnyRequest, step: Step) -> Words:
    """Return the words of a step: in the language of the payment's page, or else in the browser's."""
    wanted = None if isinstance(step, Redirect) else await find_language(tools.database, step.payment)
    return choose_page_words(request, wanted)


def _show(step: Step, words: Words, *, path: str) -> Response[str]:
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


def _show_refusal(request: AnyRequest, error: Exception) -> Response[str]:
    words = choose_page_words(request)
    if isinstance(error, Unavailable):
        page = pages.render_problem("away", words, comes_back=True)
        return send(page, status_code=503, headers={"Retry-After": str(error.retry_after_seconds)})
    return send(pages.render_problem("nothing", words), status_code=404)


def _show_faulty(request: AnyRequest, error: HTTPException) -> Response[str]:
    return send(pages.render_problem("faulty", choose_page_words(request)), status_code=error.status_code)


def _show_defect(request: AnyRequest, error: Exception) -> Response[str]:
    log.error("defect", page="challenge", error=type(error).__name__, exc_info=error)
    return send(pages.render_problem("defect", choose_page_words(request)), status_code=500)
