"""Health and metrics of a process.

`/healthz` needs no database, so it may be public. `/readyz` and `/metrics` read the database, so their port should be
reachable only by the operator, or only from this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import msgspec

from tollhouse.http.requests import Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Route
from tollhouse.http.serving.metrics import Metrics
from tollhouse.kernel.errors import DatabaseUnavailable, Stopping, Unavailable

METRICS_TYPE = "text/plain; version=0.0.4"
NO_STORE = {"Cache-Control": "no-store"}


class Watched(Protocol):
    """The part of a process that health and metrics are read from."""

    @property
    def metrics(self) -> Metrics:
        """The counters of the process."""

    async def check_ready(self) -> None:
        """Check that payments can be accepted. Raises Unavailable."""

    async def refresh_metrics(self) -> None:
        """Update the gauges that come from the database. Raises DatabaseUnavailable."""


@dataclass(slots=True)
class Health:
    """The health of one process. Until `watched` is set it has not started yet."""

    is_stopping: Callable[[], bool] = lambda: False
    watched: Watched | None = None

    def routes(self) -> list[Route]:
        """Return all routes."""
        return [
            *list_public_routes(),
            Route("GET", "/readyz", self.get_readiness),
            Route("GET", "/metrics", self.get_metrics),
        ]

    async def get_readiness(self, _: Request) -> Response:
        """Return whether this process accepts requests."""
        if self.is_stopping():
            raise Stopping
        if self.watched is None:
            raise Unavailable("The gateway is starting. Try again in a few seconds.")
        await self.watched.check_ready()
        return show_status({"status": "ready"})

    async def get_metrics(self, _: Request) -> Response:
        """Render the metrics. While the database is unavailable, its gauges are unchanged."""
        if self.watched is None:
            return show_metrics(b"")
        with suppress(DatabaseUnavailable):
            await self.watched.refresh_metrics()
        return show_metrics(self.watched.metrics.render())


def list_public_routes() -> list[Route]:
    """Return the routes that need no database."""
    return [Route("GET", "/healthz", get_liveness)]


async def get_liveness(_: Request) -> Response:
    """Return that the process runs."""
    return show_status({"status": "ok"})


def show_status(content: Mapping[str, object]) -> Response:
    """Return the state of a process or a group."""
    return Response(msgspec.json.encode(content), headers=NO_STORE)


def show_metrics(content: bytes) -> Response:
    """Return metrics in the text format of Prometheus."""
    return Response(content, 200, METRICS_TYPE, NO_STORE)
