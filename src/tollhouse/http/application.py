"""The ASGI application: it finds the route of a request, calls the handler, and sends its response.

Every request has an ID, a log line and an observation in the metrics.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog

from tollhouse.http.asgi import STRICT_TRANSPORT, Headers, Receive, Scope, Send
from tollhouse.http.problems import NO_PATH, MethodNotAllowed, build_error_response
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response
from tollhouse.http.router import PathRoutes, Router
from tollhouse.http.routes import BuildErrorResponse, Route
from tollhouse.http.screen import find_query_faults
from tollhouse.http.serving.metrics import Metrics
from tollhouse.kernel.errors import Invalid, NotFound, Stopping

#: Paths requested every few seconds, which are not logged.
QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/stage/inbox/list"})

#: Headers for scripts of merchants' pages, which call the paths that are for browsers. Rejections have them too, or the
#: page could not read them.
MAX_AGE_SECONDS = 7_200
ALLOWED_HEADERS = b"content-type, x-requested-with, x-request-id"
EXPOSED_HEADERS = b"x-request-id, retry-after, idempotent-replay"

VARY = (b"vary", b"Origin")
PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", ALLOWED_HEADERS),
    (b"access-control-max-age", b"%d" % MAX_AGE_SECONDS),
]

#: Returns whether scripts of an origin may call.
IsOriginAllowed = Callable[[str], bool]

log = structlog.get_logger()


class WebApplication:
    """An application built from routes."""

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        metrics: Metrics | None = None,
        logs_requests: bool = True,
        is_secure: bool = False,
        is_origin_allowed: IsOriginAllowed = lambda _: False,
    ) -> None:
        self._router = Router(routes)
        self.metrics = metrics
        self._logs_requests = logs_requests
        self._is_secure = is_secure
        self._is_origin_allowed = is_origin_allowed

    @property
    def routes(self) -> tuple[Route, ...]:
        """All routes."""
        return self._router.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        started = time.perf_counter()
        request, status = Request(scope, receive), 500
        try:
            response, headers = await self._respond(request)
            status = response.status
            await response.send(request, send, headers)
        finally:
            self._record(request, status, time.perf_counter() - started)

    async def _respond(self, request: Request) -> tuple[Response, Headers]:
        """Return the response with all its headers."""
        found = self._router.find(request.path)
        place = None
        if found is not None:
            place, request.path_parameters = found
        response = await self._handle(request, place)
        headers = response.encode_headers()
        if place is not None and place.is_for_browsers:
            headers += build_cors_headers(request, self._is_origin_allowed)
        if self._is_secure:
            headers.append(STRICT_TRANSPORT)
        headers.append((b"x-request-id", request.request_id.encode()))
        return response, headers

    async def _handle(self, request: Request, place: PathRoutes | None) -> Response:
        if place is not None and place.is_for_browsers and request.method == "OPTIONS":
            return Response(b"", 204)
        on_error: BuildErrorResponse = build_error_response
        try:
            check_query(request)
            if place is not None and request.method == "OPTIONS":
                return build_options_response(request, place)
            route = choose_route(request, place)
            on_error = route.on_error
            return await route.handler(request)
        except asyncio.CancelledError:
            # The server cancels open requests when it stops. Work on payments continues without its request.
            return build_error_response(request, Stopping())
        except Exception as error:  # noqa: BLE001 - no other caller can respond
            return on_error(request, error)

    def _record(self, request: Request, status: int, seconds: float) -> None:
        if self.metrics is not None:
            self.metrics.observe_request(request.method, request.route_path, status, seconds)
        if self._logs_requests and request.path not in QUIET_PATHS:
            log.info(
                "request.answered",
                request_id=request.request_id,
                method=request.method,
                route=request.route_path,
                status=status,
                milliseconds=round(seconds * 1000, 1),
            )


def check_query(request: Request) -> None:
    """Reject a query with a card number: proxies log queries and browsers keep them. Raises Invalid.

    A path needs no check: one with a card number in it leads nowhere, and is neither logged nor shown.
    """
    if request.query_string and (faults := find_query_faults(request.query_string)):
        raise Invalid(faults)


def choose_route(request: Request, place: PathRoutes | None) -> Route:
    """Return the route of a request, and set it on the request. Raises NotFound and MethodNotAllowed."""
    if place is None:
        raise NotFound(NO_PATH)
    route = place.choose(request.method)
    if route is None:
        raise MethodNotAllowed(place.allowed)
    request.route_path, request.purpose = route.path, route.effective_purpose
    return route


def build_options_response(request: Request, place: PathRoutes) -> Response:
    """Return the methods of a path."""
    request.route_path = place.path
    return Response(b"", 204, headers={"Allow": place.allowed})


def build_cors_headers(request: Request, is_allowed: IsOriginAllowed) -> Headers:
    """Return the headers of cross-origin access, for OPTIONS with the allowed headers."""
    origin = request.headers.get("origin", None)
    if origin is None or not is_allowed(origin):
        return [VARY]
    headers = [
        VARY,
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", EXPOSED_HEADERS),
    ]
    return [*headers, *PREFLIGHT] if request.method == "OPTIONS" else headers
