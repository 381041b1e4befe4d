"""The HTTP edge: the machines' messages, and the pages of the bank.

`tollhouse dev` adds the pages of the bank to its own routes; `create_simulator_app` is the whole, for `tollhouse
simulate`.
"""

from __future__ import annotations

import asyncio
from hmac import compare_digest
from urllib.parse import urlsplit
from uuid import UUID

import structlog

from tollhouse.http.application import WebApplication
from tollhouse.http.asgi import Headers, Send
from tollhouse.http.problems import build_problem_response
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response, build_html_response
from tollhouse.http.routes import Handler, Route
from tollhouse.http.screen import read_page_form
from tollhouse.kernel.errors import Invalid, NotAuthenticated, NotFound, TooLarge, Unavailable
from tollhouse.simulator.host import CHALLENGES, Simulator
from tollhouse.simulator.messages import encode
from tollhouse.simulator.model import Silence, SimulatedAuthentication
from tollhouse.simulator.threeds import pages
from tollhouse.simulator.threeds.emv_fields import EmvProtocolError
from tollhouse.simulator.threeds.emv_messages import read_method_data
from tollhouse.simulator.words import BankWords, choose_words

MAX_BODY_BYTES = 64 * 1024
MAX_FORM_FIELDS = 16
MAX_SESSION_DATA = 1024

log = structlog.get_logger()


def create_simulator_app(simulator: Simulator, *, secret: str, is_secure: bool = False) -> WebApplication:
    """Build the application with messages, control, pages and health."""
    path = urlsplit(simulator.base_url).path.rstrip("/")
    routes = [
        *BankPages(simulator, path=path).routes(),
        *MachineCalls(simulator, path=path, secret=secret).routes(),
        *HealthCalls(simulator).routes(),
    ]
    return WebApplication(routes, logs_requests=False, is_secure=is_secure)


class HealthCalls:
    """Whether the simulator's process lives, and whether its database answers."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/healthz", self.get_health, on_error=build_error_response),
            Route("GET", "/readyz", self.get_readiness, on_error=build_error_response),
        ]

    async def get_health(self, _: Request) -> Response:
        """Return that the process lives."""
        return Response(encode({"status": "ok"}))

    async def get_readiness(self, _: Request) -> Response:
        """Return whether the database is available."""
        await self._simulator.check()
        return Response(encode({"status": "ready"}))


class MachineCalls:
    """Messages and control, for the gateway alone: it shows the secret in `Authorization`, after `Bearer`."""

    def __init__(self, simulator: Simulator, *, path: str, secret: str) -> None:
        self._simulator = simulator
        self._path = path
        self._expected = f"Bearer {secret}".encode()

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            *(self._route("POST", path, self.handle_message) for path in self._simulator.paths),
            self._route("POST", f"{CHALLENGES}{{acsTransId}}", self.end_challenge),
            self._route("GET", "/control/journal", self.show_journal),
        ]

    def _route(self, method: str, path: str, handler: Handler) -> Route:
        return Route(method, f"{self._path}{path}", handler, on_error=build_error_response)

    async def handle_message(self, request: Request) -> Response:
        """Answer a message whose path says what it is."""
        self._check(request)
        return await self._respond(request, request.path.removeprefix(self._path))

    async def end_challenge(self, request: Request) -> Response:
        """End a challenge as the control message says."""
        self._check(request)
        return await self._respond(request, CHALLENGES + request.path_parameters["acsTransId"])

    async def show_journal(self, request: Request) -> Response:
        """Show the journal; without a limit its last hundred entries."""
        self._check(request)
        limit = request.query_value("limit", "100")
        if not (limit.isascii() and limit.isdigit()):
            raise Invalid({"limit": ["must be a whole number"]})
        return build_response(await self._simulator.handle("/control/journal", encode({"limit": int(limit)})))

    async def _respond(self, request: Request, path: str) -> Response:
        body = await request.read_body(limit_bytes=MAX_BODY_BYTES)
        return build_response(await self._simulator.handle(path, body))

    def _check(self, request: Request) -> None:
        """Raise NotAuthenticated unless the request shows the secret."""
        if not compare_digest(request.headers.get("authorization").encode(), self._expected):
            raise NotAuthenticated("The simulator is for the gateway only. Send its secret.")


class BankPages:
    """The pages of the bank, which are open as a bank's are."""

    def __init__(self, simulator: Simulator, *, path: str) -> None:
        self._simulator = simulator
        self._control = simulator.access_control
        self._path = path
        self._action = pages.answer_path(simulator.base_url)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            self._route("POST", "/acs/challenge", self.open_challenge),
            self._route("GET", "/acs/challenge", self.explain),
            self._route("POST", "/acs/challenge/answer", self.answer_challenge),
            self._route("GET", "/acs/challenge/answer", self.explain),
            self._route("POST", "/acs/method", self.run_method),
            self._route("POST", "/acs/method/silent", self.run_silent_method),
        ]

    def _route(self, method: str, path: str, handler: Handler) -> Route:
        return Route(method, f"{self._path}{path}", handler, on_error=build_error_response)

    async def open_challenge(self, request: Request) -> Response:
        """Show the question that a challenge asks."""
        form = await read_form(request)
        try:
            authentication = await self._control.open(form.get("creq", ""))
        except (Invalid, NotFound):
            return _show_unknown(request)
        return _show(request, authentication, form, self._action)

    async def answer_challenge(self, request: Request) -> Response:
        """Record the cardholder's answer."""
        form = await read_form(request)
        try:
            authentication = await _act(self._simulator, form)
        except (Invalid, NotFound):
            return _show_unknown(request)
        is_empty = form.get("act", "submit") == "submit" and not form.get("code", "").strip()
        return _show(request, authentication, form, self._action, is_empty=is_empty)

    async def explain(self, request: Request) -> Response:
        """Show that there is no such challenge."""
        return _show_unknown(request)

    async def run_method(self, request: Request) -> Response:
        """Run the bank's script, which reports to the gateway."""
        form = await read_form(request)
        try:
            transaction_id, url = read_method_data(form.get("threeDSMethodData", ""))
        except EmvProtocolError:
            return _show_unknown(request)
        return _send(pages.render_method(transaction_id, url))

    async def run_silent_method(self, _: Request) -> Response:
        """Run a script that never reports."""
        return _send(pages.render_silent_method())


async def read_form(request: Request) -> dict[str, str]:
    """Read a form as browsers post it. Raises TooLarge."""
    return read_page_form(await request.read_body(limit_bytes=MAX_BODY_BYTES), max_fields=MAX_FORM_FIELDS)


async def _act(simulator: Simulator, form: dict[str, str]) -> SimulatedAuthentication:
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
    request: Request,
    authentication: SimulatedAuthentication,
    form: dict[str, str],
    action: str,
    *,
    is_empty: bool = False,
) -> Response:
    """Show the state that a challenge is in: the question, or the way back."""
    session_data, words = form.get("threeDSSessionData", "")[:MAX_SESSION_DATA], _words_of(request)
    if authentication.is_open:
        page = pages.render_challenge(
            authentication, words, session_data=session_data, action=action, is_empty=is_empty
        )
        return _send(page)
    return _send(pages.render_return(authentication, words, session_data=session_data))


def _show_unknown(request: Request) -> Response:
    return _send(pages.render_problem(_words_of(request)), status=400)


def _words_of(request: Request) -> BankWords:
    """Return the words of the language that is in the address of a challenge, or else of the browser's first."""
    return choose_words(request.query_value("lang") or request.headers.get("accept-language")[:2])


def _send(page: pages.BankPage, *, status: int = 200) -> Response:
    headers = {
        "Content-Security-Policy": page.policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "strict-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return build_html_response(page.html, status=status, headers=headers)


def build_response(answer: bytes | Silence) -> Response:
    """Return the response to a message, which may be silence."""
    return BrokenOff(silent_seconds=answer.seconds) if isinstance(answer, Silence) else Response(answer)


class BrokenOff(Response, frozen=True):
    """A response that breaks off, after the client is gone or the silence is over."""

    silent_seconds: float = 0.0

    async def send(self, request: Request, send: Send, headers: Headers) -> None:
        """Promise one byte and never send it: a server that finds it missing closes the connection."""
        del headers
        gone = asyncio.create_task(request.wait_for_disconnect())
        await asyncio.wait([gone], timeout=self.silent_seconds)
        gone.cancel()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})


def build_error_response(_: Request, error: Exception) -> Response:
    """Return the response to a message that was rejected or met a defect: the only statuses of these routes."""
    match error:
        case NotAuthenticated():
            return build_problem_response(401, str(error))
        case NotFound():
            return build_problem_response(404, str(error))
        case TooLarge():
            return build_problem_response(413, str(error))
        case Unavailable():
            return build_problem_response(503, str(error))
        case Invalid():
            return build_problem_response(400, str(error), faults=error.errors)
        case _:
            log.error("simulator.request_failed", error=type(error).__name__, exc_info=error)
            return build_problem_response(500, "An internal error occurred. See the log.")
