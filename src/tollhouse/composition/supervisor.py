"""The parent of several `serve` processes on one machine: it starts, watches, restarts and stops them.

The parent listens on the port, and the processes share its socket: each new connection goes to a process that is free
to accept it, so that one that died, hangs or cannot start gets none. The parent serves the combined health port. A
process whose parent dies stops as on SIGTERM.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import structlog

from tollhouse.composition.app import ConfigurationError
from tollhouse.composition.process_group import ProcessGroup, is_ready
from tollhouse.composition.serving import Shutdown, serve_health
from tollhouse.composition.settings import Settings
from tollhouse.http.serving.ports import BACKLOG, OpenPort, bind
from tollhouse.kernel.errors import TollhouseError
from tollhouse.storage.database import Database, select_connection_limit

LOOPBACK = "127.0.0.1"
MAX_PROCESSES = 64
#: Time until a new process must be ready, including imports and connecting to a remote database.
START_TIMEOUT_SECONDS = 60.0
READY_INTERVAL_SECONDS = 0.05
#: Delay before a dead process is restarted; doubled while it does not live for `STABLE_INTERVAL_SECONDS`.
MIN_RESTART_SECONDS = 0.2
MAX_RESTART_SECONDS = 30.0
STABLE_INTERVAL_SECONDS = 60.0
#: Time after the grace period of a process, before it is killed.
KILL_TIMEOUT_SECONDS = 10.0

COMMAND = (sys.executable, "-m", "tollhouse", "serve")

log = structlog.get_logger()


class ProcessFailed(TollhouseError):
    """A process ended before it was ready for the first time; its output has the reason."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """The numbers of the open files that a process inherits from its parent."""

    #: The sockets of its port and its health port.
    port: int
    health: int
    #: The reading end of a pipe that closes when the parent ends.
    lifeline: int

    @classmethod
    def parse(cls, text: str) -> Inherited:
        """Parse the output of `describe`. Raises ValueError."""
        port, health, lifeline = (int(part) for part in text.split(","))
        return cls(port, health, lifeline)

    def stop_with_parent(self, shutdown: Shutdown) -> None:
        """Begin the shutdown when the parent dies."""
        loop = asyncio.get_running_loop()

        def begin() -> None:
            loop.remove_reader(self.lifeline)
            log.error("server_process.parent_lost")
            shutdown.begin()

        loop.add_reader(self.lifeline, begin)

    def describe(self) -> str:
        """Format the numbers for the command line."""
        return f"{self.port},{self.health},{self.lifeline}"


@dataclass(slots=True)
class ServerProcess:
    """A `serve` process. Once it was ready, it is restarted whenever it ends by itself."""

    number: int
    port: OpenPort
    health: OpenPort
    lifeline: int
    environment: Mapping[str, str]
    restarts: int = 0
    has_started: bool = field(default=False, init=False)
    _watcher: asyncio.Task[None] | None = field(default=None, init=False)
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _started_at: float = field(default=0.0, init=False)

    @property
    def pid(self) -> int | None:
        """The process id, while the process runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self, shutdown: Shutdown) -> None:
        """Start the process, wait until it is ready, and keep it running from then on.

        Raises:
            ProcessFailed: It ended before it was ready, or took too long.
        """
        await self._spawn()
        await self._wait_until_ready(shutdown)
        # Set before the process counts as ready: if it ends after that, the start did not fail.
        self.has_started = True
        self._watcher = asyncio.create_task(self._keep_running(shutdown))

    async def _spawn(self) -> None:
        files = Inherited(self.port.socket.fileno(), self.health.socket.fileno(), self.lifeline)
        self._process = await asyncio.create_subprocess_exec(
            *COMMAND,
            "--inherited",
            files.describe(),
            env=dict(self.environment),
            pass_fds=(files.port, files.health, files.lifeline),
            # Ctrl-C on the terminal is for the parent, which then stops the processes.
            start_new_session=True,
        )
        self._started_at = time.monotonic()
        log.info("server_process.started", number=self.number, pid=self._process.pid)

    async def _wait_until_ready(self, shutdown: Shutdown) -> None:
        give_up_at = time.monotonic() + START_TIMEOUT_SECONDS
        while not shutdown.begun.is_set() and not await is_ready(self.health.url):
            if self.pid is None:
                raise ProcessFailed("A process of `serve` ended before it was ready. See the lines above.")
            if time.monotonic() > give_up_at:
                raise ProcessFailed(f"A process of `serve` was not ready after {START_TIMEOUT_SECONDS:.0f} s.")
            await asyncio.sleep(READY_INTERVAL_SECONDS)

    async def _keep_running(self, shutdown: Shutdown) -> None:
        """Restart the process whenever it ends, until the shutdown begins."""
        pause = MIN_RESTART_SECONDS
        while True:
            code = await self._wait()
            if shutdown.begun.is_set():
                return
            has_been_stable = time.monotonic() - self._started_at > STABLE_INTERVAL_SECONDS
            pause = MIN_RESTART_SECONDS if has_been_stable else min(2 * pause, MAX_RESTART_SECONDS)
            log.error("server_process.ended", number=self.number, code=code, restart_in_seconds=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(shutdown.begun.wait(), pause)
                return
            await self._restart(shutdown)

    async def _restart(self, shutdown: Shutdown) -> None:
        try:
            await self._spawn()
        except OSError as error:  # no memory, or too many processes: the caller waits and retries
            log.error("server_process.start_failed", number=self.number, error=str(error))  # noqa: TRY400
            return
        self.restarts += 1
        if shutdown.begun.is_set():  # the shutdown began after the other processes were stopped
            self.request_stop()

    async def _wait(self) -> int:
        """Wait until the process has ended, and return its exit code."""
        return 0 if self._process is None else await self._process.wait()

    def request_stop(self) -> None:
        """Send SIGTERM."""
        self._send(signal.SIGTERM)

    async def end(self, *, within_seconds: float) -> None:
        """Wait for the end of a stopped process, and kill it after the time-out."""
        if self._watcher is not None:
            self._watcher.cancel()
        try:
            await asyncio.wait_for(self._wait(), within_seconds)
        except TimeoutError:
            log.error("server_process.killed", number=self.number)  # noqa: TRY400 - the trace has no information
            self._send(signal.SIGKILL)
            await self._wait()

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)


def choose_process_count(settings: Settings) -> int:
    """Return the number of processes; for `auto`, the number of processors."""
    return count_processors() if settings.processes == "auto" else settings.processes


def count_processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), MAX_PROCESSES)
    return min(os.cpu_count() or 1, MAX_PROCESSES)


async def check_connections(settings: Settings, dsn: str, processes: int) -> None:
    """Check that the pools of all processes fit into the database's limit.

    Raises:
        ConfigurationError: They do not fit.
        DatabaseUnavailable: The database does not respond.
    """
    sizes = settings.pool_sizes
    wanted = processes * (sizes.payments + sizes.readers)
    database = await Database.connect(dsn, schema="gateway", max_size=1)
    try:
        async with database.acquire() as connection:
            allowed = await select_connection_limit(connection)
    finally:
        await database.close()
    if wanted > allowed:
        raise ConfigurationError(
            f"{processes} processes may open {wanted} connections, and the database accepts {allowed}. Lower "
            "TOLLHOUSE_DATABASE_CONNECTIONS or TOLLHOUSE_DATABASE_READER_CONNECTIONS, run fewer processes, or raise "
            "max_connections of the database."
        )


async def run_processes(settings: Settings, shutdown: Shutdown, count: int) -> None:
    """Run several `serve` processes until the shutdown. Raises PortUnavailable and ProcessFailed."""
    async with AsyncExitStack() as stack:
        port = stack.enter_context(bind(settings.host, settings.port))
        port.socket.listen(BACKLOG)
        settings = settings.at(port)
        processes = [
            ServerProcess(
                number=number,
                port=port,
                health=stack.enter_context(bind(LOOPBACK, 0)),
                lifeline=stack.enter_context(_open_lifeline()),
                environment={**os.environ, **_write_environment(settings, count)},
            )
            for number in range(1, count + 1)
        ]
        group = ProcessGroup(processes, shutdown.begun.is_set)
        health_url = await serve_health(stack, settings, group.routes())
        try:
            await _start_all(processes, shutdown)
            log.info("gateway.started", url=settings.public_url, health=health_url, processes=count)
            await _drain_all(processes, shutdown)
        finally:
            port.socket.close()
            await _stop_all(processes, shutdown)


async def _start_all(processes: Sequence[ServerProcess], shutdown: Shutdown) -> None:
    """Start the processes, first one alone, so that an error of the start is reported once."""
    first, *others = processes
    await first.start(shutdown)
    await asyncio.gather(*(process.start(shutdown) for process in others))


async def _drain_all(processes: Sequence[ServerProcess], shutdown: Shutdown) -> None:
    """Stop the processes when the shutdown begins, and wait for the end of its drain time."""
    await shutdown.begun.wait()
    for process in processes:
        process.request_stop()
    await shutdown.stop.wait()


async def _stop_all(processes: Sequence[ServerProcess], shutdown: Shutdown) -> None:
    """Stop the processes, including those that still drain, and wait until they have ended."""
    shutdown.stop_now()
    for process in processes:
        process.request_stop()
    await asyncio.gather(*(process.end(within_seconds=KILL_TIMEOUT_SECONDS) for process in processes))


@contextmanager
def _open_lifeline() -> Iterator[int]:
    """Open a pipe whose writing end only this process has, and yield the reading end for a child process."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


def _write_environment(settings: Settings, count: int) -> dict[str, str]:
    """Return the environment of a child process, with settings from options and the bound port."""
    chosen = {
        "processes": count,
        "host": settings.host,
        "port": settings.port,
        "base_url": settings.base_url,
        "simulator_base_url": settings.simulator_base_url,
        "drain_seconds": settings.drain_seconds,
        "log_requests": settings.log_requests,
        "log_format": settings.log_format,
    }
    return {f"TOLLHOUSE_{name.upper()}": str(value) for name, value in chosen.items() if value is not None}
