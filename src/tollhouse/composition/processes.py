"""The processes: dev, serve, work, simulate, migrate. Each starts, runs until a signal, drains and ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from tollhouse.composition.app import ConfigurationError, Gateway, migrate_all, open_gateway, require_migrated
from tollhouse.composition.bank import (
    draw_secret,
    open_simulator,
    open_way,
    require_directory,
    require_secret,
    require_simulator,
)
from tollhouse.composition.choices import divide_limits
from tollhouse.composition.loops import READ_OFFSETS_INTERVAL_SECONDS, build_loops, build_web_loops
from tollhouse.composition.serving import (
    Shutdown,
    build_health_app,
    choose_bounds,
    serve,
    serve_beside,
    serve_health,
    stop_on_signals,
    tune_garbage_collector,
)
from tollhouse.composition.settings import Settings
from tollhouse.composition.supervisor import LOOPBACK, Inherited, check_connections, choose_process_count, run_processes
from tollhouse.composition.web import build_web
from tollhouse.http.serving.health import Health
from tollhouse.http.serving.ports import adopt, bind
from tollhouse.kernel.errors import TollhouseError
from tollhouse.ledger_check.verify import LedgerReport, verify_ledger
from tollhouse.rates.ecb import MAX_BYTES
from tollhouse.rates.store import LoadResult, load_rates
from tollhouse.simulator.app import create_simulator_app
from tollhouse.simulator.host import InProcessTransport
from tollhouse.stage.demo import MERCHANT_ID, Demo, ensure_demo, load_or_create_demo, write_demo
from tollhouse.storage.database import Database, PlainConnection
from tollhouse.storage.embedded import EmbeddedInUse, EmbeddedPostgres, running_dsn
from tollhouse.worker.run import Loop, run_loops

#: Time of `serve` for a load balancer to notice that the process is no longer ready.
DRAIN_TIMEOUT_SECONDS = 5.0
#: Verification reads the whole ledger.
VERIFY_STATEMENT_TIMEOUT_SECONDS = 600.0

Result = TypeVar("Result")

log = structlog.get_logger()


class DatabaseEnded(TollhouseError):
    """The embedded database ended by itself; its log is in the data directory."""


async def run_dev(settings: Settings, announce: Callable[[Demo, Settings], None]) -> None:
    """Run everything in one process, on an embedded database unless another one is named.

    Raises ConfigurationError in live, PortUnavailable, and DatabaseEnded when the embedded database ends by itself.
    """
    if settings.is_live:
        raise ConfigurationError("`tollhouse dev` is for stage only; live runs `tollhouse serve` and `tollhouse work`.")
    settings = draw_secret(settings).model_copy(update={"log_requests": bool(settings.log_requests)})
    shutdown = stop_on_signals(drain_seconds=settings.drain_seconds or 0.0)
    async with AsyncExitStack() as stack:
        # Bound before the database starts, so that a port in use is reported at once.
        port = stack.enter_context(bind(settings.host, settings.port))
        health = Health(shutdown.begun.is_set)
        is_private = port.is_loopback and settings.health_port is None
        if not is_private:
            await serve_health(stack, settings, health.routes())
        settings = settings.at(port)
        dsn = settings.database_url
        if dsn is None:
            dsn = await stack.enter_async_context(_embedded(settings, shutdown))
        await migrate_all(settings, dsn)
        simulator = await stack.enter_async_context(
            open_simulator(settings, dsn, base_url=settings.simulator_base_url or settings.public_url)
        )
        transport = InProcessTransport(simulator)
        gateway = await stack.enter_async_context(
            open_gateway(settings, dsn, transport, seconds_to_drain=shutdown.seconds_left)
        )
        demo = await _prepare_demo(settings, gateway)
        loops = build_loops(gateway, shutdown.stop) | build_web_loops(gateway, shutdown.stop)
        web = build_web(gateway, simulator, health=health if is_private else None)
        async with _run_beside(gateway, loops, shutdown):
            started = _on_started(health, gateway, lambda: announce(demo, settings))
            await serve(web, port, shutdown.stop, started, bounds=choose_bounds(settings))
            shutdown.stop_now()


async def run_serve(settings: Settings, inherited: Inherited | None = None) -> None:
    """Run the API and the pages, without worker and database, in one process or as a parent of several.

    `inherited` has the open files from a parent process. Raises ConfigurationError, PortUnavailable and ProcessFailed.
    """
    require_directory(settings)
    drain_seconds = DRAIN_TIMEOUT_SECONDS if settings.drain_seconds is None else settings.drain_seconds
    shutdown = stop_on_signals(drain_seconds=drain_seconds)
    count = choose_process_count(settings)
    if count > 1 and inherited is None:
        await check_connections(settings, _database_url(settings), count)
        await run_processes(settings, shutdown, count)
        return
    async with AsyncExitStack() as stack:
        health = Health(shutdown.begun.is_set)
        if inherited is not None:
            settings = divide_limits(settings, count)
            inherited.stop_with_parent(shutdown)
            port = stack.enter_context(adopt(inherited.port, settings.host))
            own = stack.enter_context(adopt(inherited.health, LOOPBACK))
            await stack.enter_async_context(
                serve_beside(build_health_app(health.routes()), own, bounds=choose_bounds(settings))
            )
            health_url = own.url
        else:
            port = stack.enter_context(bind(settings.host, settings.port))
            health_url = await serve_health(stack, settings, health.routes())
        settings = settings.at(port)
        gateway = await stack.enter_async_context(open_gateway_alone(settings, shutdown))
        # Other processes read an advanced clock in their loops; the call that advances it waits for them.
        web = build_web(gateway, others_learn_seconds=2 * READ_OFFSETS_INTERVAL_SECONDS)
        started = _on_started(
            health, gateway, lambda: log.info("gateway.started", url=settings.public_url, health=health_url)
        )
        async with _run_beside(gateway, build_web_loops(gateway, shutdown.stop), shutdown):
            await serve(web, port, shutdown.stop, started, bounds=choose_bounds(settings))
            shutdown.stop_now()


async def run_work(settings: Settings) -> None:
    """Run the worker's loops, and a port for health and metrics if one is set."""
    shutdown = stop_on_signals()
    async with AsyncExitStack() as stack:
        health, health_url = Health(shutdown.begun.is_set), None
        if settings.health_port is not None:
            health_url = await serve_health(stack, settings, health.routes())
        gateway = await stack.enter_async_context(open_gateway_alone(settings, shutdown))
        async with _run_beside(gateway, build_loops(gateway, shutdown.stop), shutdown):
            _on_started(health, gateway, lambda: log.info("worker.started", health=health_url))()
            await shutdown.stop.wait()


async def run_simulate(settings: Settings) -> None:
    """Run the simulator alone. Raises ConfigurationError in live."""
    if settings.is_live:
        raise ConfigurationError("The simulator is for stage only.")
    shutdown = stop_on_signals()
    with bind(settings.host, settings.port) as port:
        secret = require_secret(settings)
        base_url = settings.simulator_base_url or settings.base_url or port.url
        dsn = _database_url(settings)
        await require_migrated(dsn, schema="simulator", package="tollhouse.simulator")
        async with open_simulator(settings, dsn, base_url=base_url) as simulator:
            web = create_simulator_app(simulator, secret=secret, is_secure=base_url.startswith("https:"))
            started = partial(log.info, "simulator.started", url=base_url)
            await serve(web, port, shutdown.stop, started, bounds=choose_bounds(settings))


async def run_migrate(settings: Settings) -> list[str]:
    """Apply missing migrations and return their names."""
    return await migrate_all(settings, _database_url(settings))


async def run_load_rates(settings: Settings, file: Path) -> LoadResult:
    """Load a file of reference rates. A gateway may run on the database.

    Raises RatesUnreadable, which names the fault of the file, and ConfigurationError without a database.
    """
    content = read_file(file, most=MAX_BYTES)
    async with _find_database(settings) as dsn:
        database = await Database.connect(dsn, schema="gateway", max_size=1)
        try:
            return await load_rates(database, content)
        finally:
            await database.close()


def read_file(file: Path, *, most: int) -> bytes:
    """Read a file, up to one byte more than the maximum. Raises OSError."""
    with file.open("rb") as opened:
        return opened.read(most + 1)


async def run_verify(settings: Settings) -> LedgerReport:
    """Verify the ledger. A gateway may run on the database. Raises ConfigurationError without a database."""
    async with _find_database(settings) as dsn:
        database = await Database.connect(dsn, schema="gateway", statement_seconds=VERIFY_STATEMENT_TIMEOUT_SECONDS)
        try:
            return await verify_ledger(database)
        finally:
            await database.close()


async def run_on_connection(settings: Settings, work: Callable[[PlainConnection], Awaitable[Result]]) -> Result:
    """Run a function in one database transaction. A gateway may run. Raises ConfigurationError."""
    async with open_database(settings) as database, database.transaction() as connection:
        return await work(connection)


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Connect to the gateway's database. A gateway may run. Raises ConfigurationError."""
    async with _find_database(settings) as dsn:
        database = await Database.connect(dsn, schema="gateway", max_size=1)
        try:
            yield database
        finally:
            await database.close()


@asynccontextmanager
async def _run_beside(gateway: Gateway, loops: Mapping[str, Loop], shutdown: Shutdown) -> AsyncIterator[None]:
    """Run loops during the block. At its end, stop them within the rest of the grace period."""
    running = asyncio.create_task(
        run_loops(loops, shutdown.stop, beat=gateway.metrics.beat, seconds_left=shutdown.seconds_left)
    )
    try:
        yield
    finally:
        shutdown.stop_now()
        await running


def _on_started(health: Health, gateway: Gateway, announce: Callable[[], None]) -> Callable[[], None]:
    """Return the function called once the port is open: from then on the process is ready."""

    def started() -> None:
        tune_garbage_collector()
        health.watched = gateway
        announce()

    return started


def _database_url(settings: Settings) -> str:
    if settings.database_url is None:
        raise ConfigurationError("Set TOLLHOUSE_DATABASE_URL, or run `tollhouse dev`, which starts a database.")
    return settings.database_url


@asynccontextmanager
async def _find_database(settings: Settings) -> AsyncIterator[str]:
    """Find the database: the configured one, or the embedded one, which is started if it does not run.

    Raises ConfigurationError if it is not found or lacks migrations.
    """
    if settings.database_url is not None:
        await require_migrated(settings.database_url, schema="gateway", package="tollhouse.storage")
        yield settings.database_url
        return
    if not (settings.data_dir / "postgres").is_dir():
        raise ConfigurationError(
            f"No database in {settings.data_dir}. Set TOLLHOUSE_DATABASE_URL, or run `tollhouse dev`."
        )
    server = EmbeddedPostgres(settings.data_dir)
    try:
        dsn = await server.start()
    except EmbeddedInUse:
        dsn = running_dsn(settings.data_dir)
    try:
        await require_migrated(dsn, schema="gateway", package="tollhouse.storage")
        yield dsn
    finally:
        await server.stop()


@asynccontextmanager
async def _embedded(settings: Settings, shutdown: Shutdown) -> AsyncIterator[str]:
    """Run the embedded database. If it ends by itself, the process stops and DatabaseEnded is raised."""
    server = EmbeddedPostgres(settings.data_dir)
    dsn = await server.start()
    log_path = str(settings.data_dir / "postgres.log")

    async def watch() -> None:
        code = await server.wait()
        log.error("database.ended", code=code, log=log_path)
        shutdown.stop_now()

    watcher = asyncio.create_task(watch())
    try:
        yield dsn
    finally:
        has_ended = watcher.done()
        watcher.cancel()
        await server.stop()
    if has_ended:
        raise DatabaseEnded(f"The embedded database ended by itself. See {log_path}, then start again.")


@asynccontextmanager
async def open_gateway_alone(settings: Settings, shutdown: Shutdown) -> AsyncIterator[Gateway]:
    """Open the gateway of `serve` or `work`: on a migrated database, with the simulator in another process."""
    require_simulator(settings)
    dsn = _database_url(settings)
    await require_migrated(dsn, schema="gateway", package="tollhouse.storage")
    # Separate transports: a slow acquirer takes no connections from the Directory Server.
    transport, directory_transport = open_way(settings), open_way(settings)
    try:
        async with open_gateway(
            settings, dsn, transport, directory_transport=directory_transport, seconds_to_drain=shutdown.seconds_left
        ) as gateway:
            yield gateway
    finally:
        await transport.close()
        await directory_transport.close()


async def _prepare_demo(settings: Settings, gateway: Gateway) -> Demo:
    path = settings.data_dir / "demo.json"
    demo = load_or_create_demo(path, base_url=settings.public_url)
    await ensure_demo(
        gateway.database,
        demo,
        seal_ipn_secret=lambda merchant_id, secret: gateway.vault.seal_secret(secret, bound_to=f"ipn|{merchant_id}"),
    )
    # It may have been rotated.
    demo = replace(demo, ipnSecret=(await gateway.secrets.of(MERCHANT_ID))[0])
    write_demo(path, demo)
    return demo
