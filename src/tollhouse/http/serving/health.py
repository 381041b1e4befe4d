"""Health and metrics: whether a process lives, whether it is ready, and its numbers.

`/healthz` asks nobody, so anybody may ask it. `/readyz` and `/metrics` read the database; they belong on a port that
only the operator reaches, or on one that listens on this machine alone.
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
        """Check that payments can be taken. Raises Unavailable."""

    async def refresh_metrics(self) -> None:
        """Read the gauges that come from the database. Raises DatabaseUnavailable."""


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
        """Tell whether requests should be sent here."""
        if self.is_stopping():
            raise Stopping
        if self.watched is None:
            raise Unavailable("The gateway is starting; repeat the request in a moment.")
        await self.watched.check_ready()
        return show_status({"status": "ready"})

    async def get_metrics(self, _: Request) -> Response:
        """Render the metrics. While the database is away its numbers stay as they were."""
        if self.watched is None:
            return show_metrics(b"")
        with suppress(DatabaseUnavailable):
            await self.watched.refresh_metrics()
        return show_metrics(self.watched.metrics.render())


def list_public_routes() -> list[Route]:
    """Return the routes that cost nothing."""
    return [Route("GET", "/healthz", get_liveness)]


async def get_liveness(_: Request) -> Response:
    """Tell that the process runs."""
    return show_status({"status": "ok"})


def show_status(content: Mapping[str, object]) -> Response:
    """Return how a process or a group of them is."""
    return Response(msgspec.json.encode(content), headers=NO_STORE)


def show_metrics(content: bytes) -> Response:
    """Return metrics in the text format of Prometheus."""
    return Response(content, 200, METRICS_TYPE, NO_STORE)
