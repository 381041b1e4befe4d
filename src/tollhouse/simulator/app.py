"""The HTTP edge: the machines' messages, and the pages of the bank.

`create_router` is for whoever has an application already (`tollhouse dev` mounts the pages alone);
`create_simulator_app` is the whole, for `tollhouse simulate`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hmac import compare_digest
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from litestar import Litestar, Request, Response, Router, get, post
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from tollhouse.http.screen import read_page_form
from tollhouse.kernel.errors import Invalid, NotAuthenticated, NotFound, Refusal, Unavailable
from tollhouse.simulator.host import CHALLENGES, Simulator
from tollhouse.simulator.messages import encode
from tollhouse.simulator.model import Authentication, Silence
from tollhouse.simulator.threeds import pages
from tollhouse.simulator.threeds.emv_fields import ProtocolError
from tollhouse.simulator.threeds.emv_messages import read_method_data
from tollhouse.simulator.words import choose_words

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler
    from litestar.types import ControllerRouterHandler

    from tollhouse.simulator.words import Words

MAX_BODY_BYTES = 64 * 1024
MAX_FORM_FIELDS = 16
MAX_SESSION_DATA = 1024

MACHINE_PATHS = [
    "/acquirer/authorize",
    "/acquirer/capture",
    "/acquirer/void",
    "/acquirer/credit",
    "/acquirer/inquire",
    "/acquirer/reverse",
    "/acquirer/update-account",
    "/acquirer/disputes",
    "/acquirer/disputes/acknowledge",
    "/directory",
    "/directory/ranges",
    "/control/journal",
    "/control/faults/add",
    "/control/faults/list",
    "/control/faults/clear",
    "/control/test-data/create",
    "/control/test-data/list",
    "/control/test-data/read",
    "/control/test-data/change",
    "/control/test-data/delete",
]

AnyRequest = Request[Any, Any, Any]
AnyConnection = ASGIConnection[Any, Any, Any, Any]

log = structlog.get_logger()


def create_simulator_app(simulator: Simulator, *, secret: str) -> Litestar:
    """Build the application with messages, control, pages and health. It starts and closes the simulator."""

    @asynccontextmanager
    async def run(_app: Litestar) -> AsyncIterator[None]:
        await simulator.start()
        try:
            yield
        finally:
            await simulator.close()

    @get("/healthz", sync_to_thread=False)
    def get_health() -> Response[bytes]:
        """Say that the process lives."""
        return _answer(encode({"status": "ok"}))

    @get("/readyz", exception_handlers={Refusal: _answer_refusal})
    async def get_readiness() -> Response[bytes]:
        """Say whether the database answers."""
        await simulator.check()
        return _answer(encode({"status": "ready"}))

    handlers: list[ControllerRouterHandler] = [create_router(simulator, secret=secret), get_health, get_readiness]
    return Litestar(
        handlers,
        openapi_config=None,
        logging_config=None,
        lifespan=[run],
        exception_handlers={HTTPException: _answer_http_exception, Exception: _answer_defect},
    )


def create_router(simulator: Simulator, *, path: str | None = None, secret: str | None = None) -> Router:
    """Build the routes below `path`, or below the path of the simulator's `base_url`, without starting the simulator.

    The pages are open, as a bank's are. Messages and control are for who shows the secret; without a secret they are
    not there.
    """
    path = (urlsplit(simulator.base_url).path if path is None else path).rstrip("/")
    handlers: list[ControllerRouterHandler] = [*_page_routes(simulator)]
    if secret is not None:
        guard = build_guard(secret)
        handlers.append(Router("/", route_handlers=_machine_routes(simulator, path), guards=[guard]))
    return Router(
        path or "/",
        route_handlers=handlers,
        request_max_body_size=MAX_BODY_BYTES,
        include_in_schema=False,
        exception_handlers={Refusal: _answer_refusal},
    )


def build_guard(secret: str) -> Callable[[AnyConnection, BaseRouteHandler], None]:
    """Return what lets only those pass who show the secret in `Authorization`, after `Bearer`."""
    expected = f"Bearer {secret}".encode()

    def check_secret(connection: AnyConnection, _handler: BaseRouteHandler) -> None:
        if not compare_digest(connection.headers.get("authorization", "").encode(), expected):
            raise NotAuthenticated("The simulator is for the gateway only.")

    return check_secret


def _machine_routes(simulator: Simulator, prefix: str) -> list[HTTPRouteHandler]:
    @post(MACHINE_PATHS, status_code=200)
    async def answer_machine(request: AnyRequest) -> Response[bytes]:
        return _answer(await simulator.handle(request.scope["path"].removeprefix(prefix), await request.body()))

    @post(CHALLENGES + "{acs_trans_id:str}", status_code=200)
    async def end_challenge(request: AnyRequest, acs_trans_id: FromPath[str]) -> Response[bytes]:
        return _answer(await simulator.handle(CHALLENGES + acs_trans_id, await request.body()))

    @get("/control/journal")
    async def show_journal(limit: FromQuery[int] = 100) -> Response[bytes]:
        return _answer(await simulator.handle("/control/journal", encode({"limit": limit})))

    return [answer_machine, end_challenge, show_journal]


def _page_routes(simulator: Simulator) -> list[HTTPRouteHandler]:
    action = pages.answer_path(simulator.base_url)
    control = simulator.access_control

    @post("/acs/challenge", status_code=200)
    async def open_challenge(request: AnyRequest) -> Response[str]:
        form = read_page_form(await request.body(), max_fields=MAX_FORM_FIELDS)
        try:
            authentication = await control.open(form.get("creq", ""))
        except (Invalid, NotFound):
            return _show_unknown(request)
        return _show(request, authentication, form, action)

    @post("/acs/challenge/answer", status_code=200)
    async def answer_challenge(request: AnyRequest) -> Response[str]:
        form = read_page_form(await request.body(), max_fields=MAX_FORM_FIELDS)
        try:
            authentication = await _act(simulator, form)
        except (Invalid, NotFound):
            return _show_unknown(request)
        is_empty = form.get("act", "submit") == "submit" and not form.get("code", "").strip()
        return _show(request, authentication, form, action, is_empty=is_empty)

    @get(["/acs/challenge", "/acs/challenge/answer"])
    async def explain(request: AnyRequest) -> Response[str]:
        return _show_unknown(request)

    @post("/acs/method", status_code=200)
    async def run_method(request: AnyRequest) -> Response[str]:
        form = read_page_form(await request.body(), max_fields=MAX_FORM_FIELDS)
        try:
            transaction_id, url = read_method_data(form.get("threeDSMethodData", ""))
        except ProtocolError:
            return _show_unknown(request)
        return _send(pages.render_method(transaction_id, url))

    @post("/acs/method/silent", status_code=200)
    async def run_silent_method() -> Response[str]:
        return _send(pages.render_silent_method())

    return [open_challenge, answer_challenge, explain, run_method, run_silent_method]


async def _act(simulator: Simulator, form: dict[str, str]) -> Authentication:
    """Do what the pressed button says. Raises Invalid for a form that is not ours, NotFound."""
    control = simulator.access_control
    try:
        acs_trans_id, attempt = UUID(form["acsTransID"]), int(form.get("attempt", "0"))
    except (KeyError, ValueError):
        raise Invalid({"acsTransID": ["is not a challenge"]}) from None
    act = form.get("act", "submit")
    if act == "cancel":
        return await control.cancel(acs_trans_id)
    if act == "timeout":
        return await control.time_out(acs_trans_id)
    code = form.get("code", "").strip()
    return await control.enter_code(acs_trans_id, code, attempt=attempt) if code else await control.look(acs_trans_id)


def _show(
    request: AnyRequest, authentication: Authentication, form: dict[str, str], action: str, *, is_empty: bool = False
) -> Response[str]:
    """Show the state that a challenge is in: the question, or the way back."""
    session_data, words = form.get("threeDSSessionData", "")[:MAX_SESSION_DATA], _words_of(request)
    if authentication.is_open:
        page = pages.render_challenge(
            authentication, words, session_data=session_data, action=action, is_empty=is_empty
        )
        return _send(page)
    return _send(pages.render_return(authentication, words, session_data=session_data))


def _show_unknown(request: AnyRequest) -> Response[str]:
    return _send(pages.render_problem(_words_of(request)), status_code=400)


def _words_of(request: AnyRequest) -> Words:
    """Return the words of the language that is in the address of a challenge, or else of the browser's first."""
    return choose_words(request.query_params.get("lang") or request.headers.get("accept-language", "")[:2])


def _send(page: pages.Page, *, status_code: int = 200) -> Response[str]:
    headers = {
        "Content-Security-Policy": page.policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "strict-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(page.html, media_type="text/html", headers=headers, status_code=status_code)


def _answer(answer: bytes | Silence) -> Response[bytes]:
    return Silent(answer) if isinstance(answer, Silence) else Response(answer, media_type="application/json")


class Silent(Response[bytes]):
    """No answer: the connection is held, then broken off."""

    def __init__(self, silence: Silence) -> None:
        super().__init__(b"")
        self._seconds = silence.seconds

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        """Give Litestar the response that breaks off."""
        return BreakOff(self._seconds)


class BreakOff(ASGIResponse):
    """Waits until the client is gone or the time is over, and breaks off in the middle of an answer."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Promise one byte and never send it: a server that finds it missing closes the connection."""
        gone = asyncio.create_task(_wait_for_disconnect(receive))
        await asyncio.wait([gone], timeout=self._seconds)
        gone.cancel()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _answer_refusal(_request: AnyRequest, error: Refusal) -> Response[bytes]:
    """Answer what was refused; the only statuses that these routes have."""
    statuses: dict[type[Refusal], int] = {NotAuthenticated: 401, NotFound: 404, Unavailable: 503}
    status = next((status for kind, status in statuses.items() if isinstance(error, kind)), 400)
    errors = error.errors if isinstance(error, Invalid) else {}
    return Response(
        encode({"message": str(error), "errors": errors}), media_type="application/json", status_code=status
    )


def _answer_http_exception(_request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """Answer what the framework refused: an unknown path, a method that a path does not have."""
    return Response(
        encode({"message": error.detail, "errors": {}}), media_type="application/json", status_code=error.status_code
    )


def _answer_defect(_request: AnyRequest, error: Exception) -> Response[bytes]:
    """Answer a defect; the log says which."""
    log.error("simulator failed", error=type(error).__name__, exc_info=error)
    body = encode({"message": "Something is wrong at our side; the log says what.", "errors": {}})
    return Response(body, media_type="application/json", status_code=500)
