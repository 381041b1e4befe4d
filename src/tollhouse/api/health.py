"""For whoever watches over the process: alive, ready, and the numbers."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from litestar import Response, get

from tollhouse.kernel.errors import DatabaseUnavailable
from tollhouse.wire.render import render_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from litestar.handlers import HTTPRouteHandler

    from tollhouse.api.metrics import Metrics
    from tollhouse.storage.database import Database

#: The framework appends the character set to every `text/` type.
METRICS_TYPE = "text/plain; version=0.0.4"


def health_handlers(
    database: Database, metrics: Metrics, refresh: Callable[[], Awaitable[None]]
) -> list[HTTPRouteHandler]:
    """Return the handlers. `refresh` brings the gauges up to date that are read from the database."""

    @get("/healthz", sync_to_thread=False)
    def get_health() -> Response[bytes]:
        """Say that the process lives."""
        return _say("ok")

    @get("/readyz")
    async def get_readiness() -> Response[bytes]:
        """Say whether payments can be taken: whether the database answers."""
        async with database.acquire() as connection:
            await connection.execute("select 1")
        return _say("ready")

    @get("/metrics")
    async def get_metrics() -> Response[bytes]:
        """Give the numbers to Prometheus; those of the database are left as they were while it is away."""
        with suppress(DatabaseUnavailable):
            await refresh()
        return Response(metrics.render(), media_type=METRICS_TYPE)

    return [get_health, get_readiness, get_metrics]


def _say(status: str) -> Response[bytes]:
    return Response(render_json({"status": status}), media_type="application/json")
