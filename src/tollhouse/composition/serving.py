"""Serving a port until a signal, and the steps of the shutdown."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import structlog
import uvicorn

from tollhouse.composition.settings import Settings
from tollhouse.http.application import WebApplication
from tollhouse.http.asgi import Application
from tollhouse.http.routes import Route
from tollhouse.http.serving.connections import choose_max_connections
from tollhouse.http.serving.ports import OpenPort, bind
from tollhouse.http.serving.server import ServerLimits, build_protocol

#: Time for open requests and then work in progress to end, after the sockets are closed.
GRACE_TIMEOUT_SECONDS = 3
#: Distance from the port of a process to its default health port.
HEALTH_PORT_DISTANCE = 1_000
MAX_PORT = 65_535

log = structlog.get_logger()


class Shutdown:
    """The shutdown of a process, in steps.

    `begun`: the process reports that it is not ready, and still serves. `stop`, after the drain time: it accepts
    nothing new. Then the grace period ends all work in progress.
    """

    def __init__(self, *, drain_seconds: float = 0.0) -> None:
        self.begun = asyncio.Event()
        self.stop = asyncio.Event()
        self._drain_seconds = drain_seconds
        self._stopped_at: float | None = None

    def begin(self) -> None:
        """Begin the shutdown; a second call ends the drain time."""
        if self.begun.is_set() or not self._drain_seconds:
            self.stop_now()
            return
        self.begun.set()
        log.info("process.draining", seconds=self._drain_seconds)
        asyncio.get_running_loop().call_later(self._drain_seconds, self.stop_now)

    def stop_now(self) -> None:
        """Accept nothing new from now on."""
        self.begun.set()
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
            self.stop.set()

    def seconds_left(self) -> float:
        """Return the rest of the grace period."""
        gone = 0.0 if self._stopped_at is None else time.monotonic() - self._stopped_at
        return max(GRACE_TIMEOUT_SECONDS - gone, 0.0)


def stop_on_signals(*, drain_seconds: float = 0.0) -> Shutdown:
    """Return the shutdown of this process, which SIGTERM and SIGINT begin."""
    shutdown = Shutdown(drain_seconds=drain_seconds)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(report_lost_error)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, shutdown.begin)
    return shutdown


def report_lost_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that no task or caller handled, with its frames. The event loop's own line would contain values."""
    error = context.get("exception")
    task = context.get("task") or context.get("future")
    name = task.get_name() if isinstance(task, asyncio.Task) else None
    log.error("task.error_lost", task=name, exc_info=error if isinstance(error, BaseException) else None)


class _Server(uvicorn.Server):
    """A server that leaves signals to its process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


async def serve(
    web: Application, port: OpenPort, stop: asyncio.Event, on_started: Callable[[], None], *, bounds: ServerLimits
) -> None:
    """Serve a port until `stop` is set; then accept no more requests, and let open ones end."""
    server = _Server(
        uvicorn.Config(
            web,
            http=build_protocol(bounds),
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            # Trusted proxies are our own setting, not the server's default.
            proxy_headers=False,
            server_header=False,
            date_header=True,
            timeout_graceful_shutdown=GRACE_TIMEOUT_SECONDS,
        )
    )
    serving = asyncio.create_task(server.serve([port.socket]))
    while not server.started and not serving.done():  # noqa: ASYNC110 - the server has only a flag
        await asyncio.sleep(0.01)
    if not serving.done():
        on_started()
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        server.should_exit = True
    await serving


def build_health_app(routes: Sequence[Route]) -> WebApplication:
    """Build the application of a port for health and metrics. Its requests are not logged."""
    return WebApplication(routes, logs_requests=False)


async def serve_health(stack: AsyncExitStack, settings: Settings, routes: Sequence[Route]) -> str:
    """Serve health and metrics on their own port until the stack ends, last of all. Return the URL."""
    port = stack.enter_context(bind(settings.health_host, _choose_health_port(settings), option="--health-port"))
    await stack.enter_async_context(serve_beside(build_health_app(routes), port, bounds=choose_bounds(settings)))
    return port.url


def _choose_health_port(settings: Settings) -> int:
    if settings.health_port is not None:
        return settings.health_port
    if not settings.port:
        return 0
    above = settings.port + HEALTH_PORT_DISTANCE
    return above if above <= MAX_PORT else settings.port - HEALTH_PORT_DISTANCE


def choose_bounds(settings: Settings) -> ServerLimits:
    """Return the bounds of a port."""
    return ServerLimits(
        max_connections_per_address=settings.connections_per_address,
        max_connections=choose_max_connections(),
        exempt=settings.trusted_proxies,
    )


@asynccontextmanager
async def serve_beside(web: Application, port: OpenPort, *, bounds: ServerLimits) -> AsyncIterator[None]:
    """Serve another port until the block ends."""
    stop, started = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve(web, port, stop, started.set, bounds=bounds))
    starting = asyncio.create_task(started.wait())
    try:
        await asyncio.wait({serving, starting}, return_when=asyncio.FIRST_COMPLETED)
        yield
    finally:
        starting.cancel()
        stop.set()
        await serving


def tune_garbage_collector() -> None:
    """Exclude the objects of the start-up from garbage collection, and make collections rarer.

    Nearly all objects of a request are freed with their last reference. A full collection over the imported modules
    would only pause payments.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
