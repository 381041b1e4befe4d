"""What every request gets, whatever it asks for: an id, a line in the log, a place in the metrics.

Plain ASGI around the whole application, since it is on the way of every payment.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, cast

import structlog

from tollhouse.kernel.card_search import holds_card_number
from tollhouse.kernel.ids import new_request_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.types import HTTPScope

    from tollhouse.api.asgi import Application, Message, Receive, Scope, Send
    from tollhouse.http.metrics import Metrics

#: 1 to 128 visible ASCII characters.
REQUEST_ID_FORM = re.compile(r"[!-~]{1,128}")
REQUEST_ID = "tollhouse_request_id"
SENT_REQUEST_ID = "tollhouse_sent_request_id"

#: Paths that are asked for every few seconds and are not worth a line each.
QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/stage/inbox/list"})

log = structlog.get_logger()


def request_id_of(scope: Mapping[str, Any] | HTTPScope) -> str:
    """Return the id of a request: the client's, or the one that it was given."""
    return cast("str", scope.get("state", {}).get(REQUEST_ID, ""))


def sent_request_id_of(scope: Mapping[str, Any] | HTTPScope) -> str | None:
    """Return the X-Request-ID as it was sent, well formed or not, or None."""
    return cast("str | None", scope.get("state", {}).get(SENT_REQUEST_ID))


def forget_request_id(scope: Mapping[str, Any] | HTTPScope) -> None:
    """Give a request another id in the place of one that must not be repeated."""
    scope["state"][REQUEST_ID] = new_request_id()


def find_request_id_fault(text: str) -> str | None:
    """Say why a text may be no X-Request-ID, or nothing."""
    if REQUEST_ID_FORM.fullmatch(text) is None:
        return "must have 1 to 128 visible ASCII characters"
    return "must not hold a card number" if holds_card_number(text) else None


class Envelope:
    """Wraps an application: gives ids, writes the access log, measures."""

    def __init__(self, app: Application, metrics: Metrics, *, logs_requests: bool = True) -> None:
        self._app = app
        self._metrics = metrics
        self._logs_requests = logs_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        self._name(scope)
        status = 500

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id_of(scope).encode()),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        finally:
            self._tell(scope, status, time.perf_counter() - started)

    def _name(self, scope: Scope) -> None:
        sent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"), None)
        request_id = sent if sent is not None and find_request_id_fault(sent) is None else new_request_id()
        state: dict[str, Any] = scope.setdefault("state", {})
        state[REQUEST_ID] = request_id
        state[SENT_REQUEST_ID] = sent

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = str(scope.get("path_template") or "unknown")
        self._metrics.observe_request(str(scope["method"]), route, status, seconds)
        if self._logs_requests and scope["path"] not in QUIET_PATHS:
            log.info(
                "request answered",
                request_id=request_id_of(scope),
                method=scope["method"],
                route=route,
                status=status,
                milliseconds=round(seconds * 1000, 1),
            )
