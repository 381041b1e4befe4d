"""The processes: dev, serve, work, simulate, migrate. Each starts, runs until it is told to stop, drains and ends."""

from __future__ import annotations

import asyncio
import errno
import gc
import math
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import asyncpg
import structlog
import uvicorn

from tollhouse.app import ConfigurationError, migrate_all, open_gateway, require_migrated
from tollhouse.bank import draw_secret, open_simulator, open_way, require_directory, require_secret, require_simulator
from tollhouse.http.connections import choose_max_connections
from tollhouse.http.server import Bounds, build_protocol
from tollhouse.kernel.errors import TollhouseError
from tollhouse.ledger.verify import verify_books
from tollhouse.loops import READ_OFFSETS_EVERY_SECONDS, build_loops, build_web_loops
from tollhouse.rates.ecb import MAX_BYTES
from tollhouse.rates.load import Loaded, load_rates
from tollhouse.simulator.app import create_simulator_app
from tollhouse.simulator.transport import InProcessTransport
from tollhouse.stage.demo import Demo, ensure_demo, read_or_draw_demo, write_demo
from tollhouse.storage.database import Database
from tollhouse.storage.embedded import EmbeddedInUse, EmbeddedPostgres, running_dsn
from tollhouse.web import build_watch, build_web
from tollhouse.worker.run import run_loops

if TYPE_CHECKING:
    from litestar import Litestar

    from tollhouse.api.asgi import Application
    from tollhouse.app import Gateway
    from tollhouse.ledger.verify import Report
    from tollhouse.settings import Settings
    from tollhouse.storage.database import PlainConnection

#: Open requests, and then the money work under way, get this long together to end after SIGTERM.
GRACE_SECONDS = 3
#: Browsers meet the bank under another name than the gateway, as they do in live: two sites, for cookies and frames.
BANK_HOST = "localhost"
#: Proving the books goes over all of them.
VERIFY_STATEMENT_SECONDS = 600.0

Result = TypeVar("Result")

log = structlog.get_logger()


class DatabaseEnded(TollhouseError):
    """The embedded database ended by itself; its log is in the data directory."""


class PortUnavailable(TollhouseError):
    """The port cannot be listened on."""


class _Stop(asyncio.Event):
    """Set when the process shall end; from then on its grace runs out, whatever is waited for first."""

    def __init__(self) -> None:
        super().__init__()
        self._set_at: float | None = None

    def set(self) -> None:
        """Begin to end."""
        if self._set_at is None:
            self._set_at = time.monotonic()
        super().set()

    def seconds_left(self) -> float:
        """Return what is left of the grace."""
        gone = 0.0 if self._set_at is None else time.monotonic() - self._set_at
        return max(GRACE_SECONDS - gone, 0.0)


class _Server(uvicorn.Server):
    """A server that leaves signals to the process that it is part of."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


async def run_dev(settings: Settings, announce: Callable[[Demo, Settings], None]) -> None:
    """Run everything in one process, on an embedded database unless another one is named."""
    stop = _stop_on_signals()
    settings = draw_secret(settings)
    async with AsyncExitStack() as stack:
        # Before the database is started: who has to choose another port should not wait for that.
        listener = stack.enter_context(_bind(settings.host, settings.port))
        dsn = settings.database_url
        if dsn is None:
            dsn = await stack.enter_async_context(_embedded(settings, stop))
        await migrate_all(settings, dsn)
        simulator = await stack.enter_async_context(
            open_simulator(settings, dsn, base_url=f"http://{BANK_HOST}:{settings.port}/simulator")
        )
        gateway = await stack.enter_async_context(
            open_gateway(settings, dsn, InProcessTransport(simulator), seconds_to_drain=stop.seconds_left)
        )
        demo = await _prepare_demo(settings, gateway)
        loops = asyncio.create_task(run_loops(build_loops(gateway, stop) | build_web_loops(gateway, stop), stop))
        web = build_web(gateway, simulator)
        await _serve(web, listener, stop, lambda: announce(demo, settings), bounds=_choose_bounds(settings))
        stop.set()
        await loops


async def run_serve(settings: Settings) -> None:
    """Run the API and the pages, without worker and database."""
    require_directory(settings)
    stop = _stop_on_signals()
    with _bind(settings.host, settings.port) as listener:
        async with _gateway_alone(settings, stop) as gateway:
            loops = asyncio.create_task(run_loops(build_web_loops(gateway, stop), stop))
            # Others learn of a moved clock by their loops; who moves one answers when they know.
            web = build_web(gateway, others_learn_seconds=2 * READ_OFFSETS_EVERY_SECONDS)
            tell = partial(log.info, "serving", url=settings.public_url)
            await _serve(web, listener, stop, tell, bounds=_choose_bounds(settings))
            stop.set()
            await loops


async def run_work(settings: Settings) -> None:
    """Run the worker's loops, and a port for health and metrics if one is set."""
    stop = _stop_on_signals()
    async with AsyncExitStack() as stack:
        listener, port = None, settings.metrics_port
        if port is not None:
            listener = stack.enter_context(_bind(settings.host, port, option="--metrics-port"))
        gateway = await stack.enter_async_context(_gateway_alone(settings, stop))
        loops = asyncio.create_task(run_loops(build_loops(gateway, stop), stop))
        if listener is None:
            log.info("working")
        else:
            watch = build_watch(gateway)
            tell = partial(log.info, "working", metrics_port=port)
            await _serve(watch, listener, stop, tell, bounds=_choose_bounds(settings))
            stop.set()
        await loops


async def run_simulate(settings: Settings) -> None:
    """Run the simulator alone. Raises ConfigurationError in live."""
    if settings.is_live:
        raise ConfigurationError("The simulator is for stage only.")
    secret = require_secret(settings)
    stop = _stop_on_signals()
    base_url = settings.simulator_base_url or settings.public_url
    with _bind(settings.host, settings.port) as listener:
        dsn = _database_url(settings)
        await require_migrated(dsn, schema="simulator", package="tollhouse.simulator")
        async with open_simulator(settings, dsn, base_url=base_url) as simulator:
            web = create_simulator_app(simulator, secret=secret)
            tell = partial(log.info, "simulating", url=base_url)
            await _serve(web, listener, stop, tell, bounds=_choose_bounds(settings))


async def run_migrate(settings: Settings) -> list[str]:
    """Apply the migrations that are missing and return their names."""
    return await migrate_all(settings, _database_url(settings))


async def run_load_rates(settings: Settings, file: Path) -> Loaded:
    """Load a file of reference rates, whether or not a gateway runs on the database.

    Raises RatesUnreadable, which says what is wrong with the file, and ConfigurationError without a database.
    """
    content = read_file(file, most=MAX_BYTES)
    async with _some_database(settings) as dsn:
        database = await Database.connect(dsn, schema="gateway", max_size=1)
        try:
            return await load_rates(database, content)
        finally:
            await database.close()


def read_file(file: Path, *, most: int) -> bytes:
    """Read a file, and one byte past the bound at most. Raises OSError."""
    with file.open("rb") as opened:
        return opened.read(most + 1)


async def run_verify(settings: Settings) -> Report:
    """Prove the books as they are, whether or not a gateway runs on them. Raises ConfigurationError without any."""
    async with _some_database(settings) as dsn:
        database = await Database.connect(dsn, schema="gateway", statement_seconds=VERIFY_STATEMENT_SECONDS)
        try:
            return await verify_books(database)
        except asyncpg.UndefinedTableError:
            raise ConfigurationError(
                "The database has no books yet; `tollhouse migrate` brings it up to date."
            ) from None
        finally:
            await database.close()


async def run_on_connection(settings: Settings, work: Callable[[PlainConnection], Awaitable[Result]]) -> Result:
    """Do a piece of work in one transaction, whether or not a gateway runs. Raises ConfigurationError."""
    async with _some_database(settings) as dsn:
        database = await Database.connect(dsn, schema="gateway", max_size=1)
        try:
            async with database.transaction() as connection:
                return await work(connection)
        finally:
            await database.close()


def _stop_on_signals() -> _Stop:
    """Return an event that SIGTERM and SIGINT set."""
    stop = _Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _database_url(settings: Settings) -> str:
    if settings.database_url is None:
        raise ConfigurationError("Set TOLLHOUSE_DATABASE_URL, or run `tollhouse dev`, which brings its own database.")
    return settings.database_url


@asynccontextmanager
async def _some_database(settings: Settings) -> AsyncIterator[str]:
    """Find the database: the one that is named, or the embedded one, which may be running for a gateway or not."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    if not (settings.data_dir / "postgres").is_dir():
        raise ConfigurationError(f"There is no database in {settings.data_dir}, and TOLLHOUSE_DATABASE_URL is not set.")
    server = EmbeddedPostgres(settings.data_dir)
    try:
        dsn = await server.start()
    except EmbeddedInUse:
        dsn = running_dsn(settings.data_dir)
    try:
        yield dsn
    finally:
        await server.stop()


@asynccontextmanager
async def _embedded(settings: Settings, stop: asyncio.Event) -> AsyncIterator[str]:
    """Run the embedded database; when it ends by itself, the process has to end too."""
    server = EmbeddedPostgres(settings.data_dir)
    dsn = await server.start()

    async def watch() -> None:
        code = await server.wait()
        log.error("database ended", code=code, log=str(settings.data_dir / "postgres.log"))
        stop.set()

    watcher = asyncio.create_task(watch())
    try:
        yield dsn
    finally:
        watcher.cancel()
        await server.stop()


@asynccontextmanager
async def _gateway_alone(settings: Settings, stop: _Stop) -> AsyncIterator[Gateway]:
    require_simulator(settings)
    dsn = _database_url(settings)
    await require_migrated(dsn, schema="gateway", package="tollhouse.storage")
    # Ways of their own: a slow acquirer takes no connection from the Directory, which 3-D Secure waits for.
    transport, directory_transport = open_way(settings), open_way(settings)
    try:
        async with open_gateway(
            settings,
            dsn,
            transport,
            directory_transport=directory_transport,
            seconds_to_drain=stop.seconds_left,
        ) as gateway:
            yield gateway
    finally:
        await transport.close()
        await directory_transport.close()


async def _prepare_demo(settings: Settings, gateway: Gateway) -> Demo:
    path = settings.data_dir / "demo.json"
    demo = read_or_draw_demo(path, base_url=settings.public_url)
    await ensure_demo(
        gateway.database,
        demo,
        seal_ipn_secret=lambda merchant_id, secret: gateway.vault.seal_secret(secret, bound_to=f"ipn|{merchant_id}"),
    )
    write_demo(path, demo)
    return demo


def _settle_memory() -> None:
    """Take what start-up made out of the garbage collector's rounds, and let those be rarer.

    Nearly everything that a request makes dies with its last reference; a full round over the imported modules would
    only be a pause in the middle of payments.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@contextmanager
def _bind(host: str, port: int, *, option: str = "--port") -> Iterator[socket.socket]:
    """Take a port, to listen on it later. Raises PortUnavailable, and OSError for a host that is not here."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            why = {errno.EADDRINUSE: "is taken by another process", errno.EACCES: "may not be taken by this user"}
            if error.errno not in why:
                raise
            variable = f"TOLLHOUSE_{option.removeprefix('--').replace('-', '_').upper()}"
            raise PortUnavailable(
                f"Port {port} of {host} {why[error.errno]}; choose another with {option} or {variable}."
            ) from None
        yield listener


def _choose_bounds(settings: Settings) -> Bounds:
    """Return the bounds of a port."""
    return Bounds(
        max_connections_per_address=settings.connections_per_address,
        max_connections=choose_max_connections(),
        exempt=settings.trusted_proxies,
    )


async def _serve(
    web: Application | Litestar,
    listener: socket.socket,
    stop: asyncio.Event,
    on_started: Callable[[], None],
    *,
    bounds: Bounds,
) -> None:
    """Listen until `stop` is set; then take no more, and let open requests end for a while."""
    server = _Server(
        uvicorn.Config(
            web,
            http=build_protocol(bounds),
            ws="none",
            timeout_keep_alive=math.ceil(bounds.idle_seconds),
            log_config=None,
            access_log=False,
            lifespan="off",
            # Whose X-Forwarded-For is believed is our own setting, and not the default of the server's.
            proxy_headers=False,
            server_header=False,
            date_header=True,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110 - the server tells by a flag only
        await asyncio.sleep(0.01)
    if not serving.done():
        _settle_memory()
        on_started()
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        server.should_exit = True
    await serving
