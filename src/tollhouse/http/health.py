"""Health and metrics as plain ASGI: whether a process lives, whether it is ready, and its numbers.

`/healthz` asks nobody, so anybody may ask it. `/readyz` and `/metrics` read the database; they belong on a port that
only the operator reaches, or on one that listens on this machine alone.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from tollhouse.kernel.errors import DatabaseUnavailable, Stopping, Unavailable

if TYPE_CHECKING:
    from tollhouse.http.asgi import Application, Receive, Scope, Send
    from tollhouse.http.metrics import Metrics

JSON = b"application/json"
METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
ALLOWED = b"GET, HEAD, OPTIONS"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Page:
    """The response to a request that only reads."""

    body: bytes = b""
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


ReadPage = Callable[[], Awaitable[Page]]


class Watched(Protocol):
    """The part of a process that health and metrics are read from."""

    @property
    def metrics(self) -> Metrics:
        """The counters of the process."""

    async def check_ready(self) -> None:
        """Check that payments can be taken. Raises Unavailable."""

    async def refresh_metrics(self) -> None:
        """Read the gauges that come from the database. Raises DatabaseUnavailable."""


@dataclass(slots=True)
class Health:
    """The health of one process. Until `watched` is set it has not started yet."""

    is_stopping: Callable[[], bool] = lambda: False
    watched: Watched | None = None

    async def read_readiness(self) -> Page:
        """Tell whether requests should be sent here."""
        if self.is_stopping():
            raise Stopping
        if self.watched is None:
            raise Unavailable("The gateway is starting; repeat the request in a moment.")
        await self.watched.check_ready()
        return show_json({"status": "ready"})

    async def read_metrics(self) -> Page:
        """Render the metrics. While the database is away its numbers stay as they were."""
        if self.watched is None:
            return Page(content_type=METRICS_TYPE)
        with suppress(DatabaseUnavailable):
            await self.watched.refresh_metrics()
        return Page(self.watched.metrics.render(), content_type=METRICS_TYPE)

    def pages(self) -> Mapping[str, ReadPage]:
        """Return all pages by their paths."""
        return {**PUBLIC_PAGES, "/readyz": self.read_readiness, "/metrics": self.read_metrics}


async def read_liveness() -> Page:
    """Tell that the process runs."""
    return show_json({"status": "ok"})


#: The pages that cost nothing.
PUBLIC_PAGES: Mapping[str, ReadPage] = {"/healthz": read_liveness}


@dataclass(slots=True)
class Pages:
    """An ASGI application of a few pages. Other paths go to `rest`, or are not found."""

    pages: Mapping[str, ReadPage] = field(default_factory=dict)
    rest: Application | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        path = scope["path"].rstrip("/") if scope["type"] == "http" else ""
        read = self.pages.get(path)
        if read is not None:
            scope["path_template"] = path
            await _send(scope, send, await _read(read, scope["method"]))
        elif self.rest is not None:
            await self.rest(scope, receive, send)
        else:
            await _send(scope, send, _show_problem(404, "There is no such path."))


async def _read(read: ReadPage, method: str) -> Page:
    if method == "OPTIONS":
        return Page(status=204, headers=((b"allow", ALLOWED),))
    if method not in {"GET", "HEAD"}:
        return _show_problem(405, "This path does not have that method.", (b"allow", ALLOWED))
    try:
        return await read()
    except Unavailable as error:
        return _show_problem(503, str(error), (b"retry-after", str(error.retry_after_seconds).encode()))
    except Exception:
        log.exception("health.read_failed")
        return _show_problem(500, "Something is wrong at our side; the log says what.")


def show_json(content: Mapping[str, object], status: int = 200, *headers: tuple[bytes, bytes]) -> Page:
    """Return a page of JSON."""
    return Page(json.dumps(content, separators=(",", ":")).encode(), status, headers=headers)


def _show_problem(status: int, message: str, *headers: tuple[bytes, bytes]) -> Page:
    return show_json({"message": message, "errors": {}}, status, *headers)


async def _send(scope: Scope, send: Send, page: Page) -> None:
    headers = [(b"content-type", page.content_type), (b"cache-control", b"no-store"), *page.headers]
    if page.status == 204:
        headers = list(page.headers)
    else:
        headers.append((b"content-length", str(len(page.body)).encode()))
    await send({"type": "http.response.start", "status": page.status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else page.body
    await send({"type": "http.response.body", "body": body, "more_body": False})
