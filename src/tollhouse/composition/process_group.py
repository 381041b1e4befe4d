"""Combined health and metrics of several processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from tollhouse.http.requests import Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Route
from tollhouse.http.serving.health import list_public_routes, show_metrics, show_status
from tollhouse.http.serving.merged_metrics import merge_metrics
from tollhouse.http.serving.ports import OpenPort
from tollhouse.kernel.errors import Stopping, Unavailable

#: Time in which a process must respond to be ready, shorter than the time-outs of load balancers.
READY_TIMEOUT_SECONDS = 1.0
METRICS_TIMEOUT_SECONDS = 5.0


class Member(Protocol):
    """A process of the group."""

    number: int
    health: OpenPort
    restarts: int
    #: Whether it was ready once. From then on it is restarted if it ends.
    has_started: bool

    @property
    def pid(self) -> int | None:
        """The process id, while the process runs."""


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes that a parent started."""

    members: Sequence[Member]
    is_stopping: Callable[[], bool]

    def routes(self) -> list[Route]:
        """Return all routes of health."""
        return [
            *list_public_routes(),
            Route("GET", "/readyz", self.get_readiness),
            Route("GET", "/metrics", self.get_metrics),
        ]

    async def get_readiness(self, _: Request) -> Response:
        """Return 200 if a process accepts requests. Raises Stopping and Unavailable."""
        if self.is_stopping():
            raise Stopping
        running = [member for member in self.members if member.has_started and member.pid is not None]
        ready = await asyncio.gather(*(is_ready(member.health.url) for member in running))
        if not any(ready):
            raise Unavailable("No process of the gateway is ready. Try again in a few seconds.")
        return show_status({"status": "ready", "processes": len(self.members), "ready": sum(ready)})

    async def get_metrics(self, _: Request) -> Response:
        """Return the metrics of all processes, added up, with those of the group."""
        texts = await asyncio.gather(
            *(_read(f"{member.health.url}/metrics", timeout_seconds=METRICS_TIMEOUT_SECONDS) for member in self.members)
        )
        answered = [content.decode() for status, content in texts if status == 200]
        running = sum(member.pid is not None for member in self.members)
        restarts = sum(member.restarts for member in self.members)
        return show_metrics(merge_metrics(answered, running=running, restarts=restarts))


async def is_ready(url: str) -> bool:
    """Return whether the health port of a process reports that it is ready."""
    status, _ = await _read(f"{url}/readyz", timeout_seconds=READY_TIMEOUT_SECONDS)
    return status == 200


async def _read(url: str, *, timeout_seconds: float) -> tuple[int, bytes]:
    """Return status and content of a page; status 0 if there was no response."""
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return response.status, await response.read()
    except (aiohttp.ClientError, OSError, TimeoutError):
        return 0, b""
