"""A deployment in processes of its own: `simulate`, `serve` and `work` on one database, with a network in between.

The network is in the test: what `serve` and `work` send to the simulator passes through a `Network` of its own each,
which holds messages up or forges their answers.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web
from tests.support.gateways import SOURCE, START_SECONDS, STOP_SECONDS, find_free_port

from tollhouse.stage.demo import Demo, ensure_demo, read_or_draw_demo
from tollhouse.storage.database import Database
from tollhouse.vault.keys import FileKeyProvider
from tollhouse.vault.vault import Vault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

#: Quick enough for a test that waits for the resolver.
QUICK = {
    "TOLLHOUSE_ACQUIRER_TIMEOUT_SECONDS": "2",
    "TOLLHOUSE_ACQUIRER_LONGEST_DELAY_SECONDS": "0.5",
    "TOLLHOUSE_RESOLVER_MARGIN_SECONDS": "2",
}


@dataclass(slots=True)
class Network:
    """A way to the simulator. `held` requests wait for `release`; `forged` ones get an answer that nobody gave."""

    target: str
    held: set[str] = field(default_factory=set)
    forged: dict[str, bytes] = field(default_factory=dict)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[str] = field(default_factory=list)

    async def pass_on(self, request: web.Request) -> web.Response:
        """Pass a request on, whatever becomes of who sent it."""
        return await asyncio.shield(asyncio.ensure_future(self._pass_on(request, await request.read())))

    async def _pass_on(self, request: web.Request, body: bytes) -> web.Response:
        path, headers = request.path, {"Authorization": request.headers.get("Authorization", "")}
        self.seen.append(path)
        if path in self.forged:
            reference = _read_reference(body)
            return web.Response(body=self.forged[path].replace(b"REFERENCE", reference))
        if path in self.held:
            await self.release.wait()
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.target + path, data=body, headers=headers) as response,
        ):
            answer = await response.read()
        return web.Response(status=response.status, body=answer)


def _read_reference(body: bytes) -> bytes:
    """Return the reference of a message."""
    return body.partition(b'"reference":"')[2].partition(b'"')[0]


@asynccontextmanager
async def open_network(target: str) -> AsyncIterator[tuple[Network, str]]:
    """Open a way to the simulator, and return it with its URL."""
    network = Network(target)
    application = web.Application()
    application.router.add_post("/{path:.*}", network.pass_on)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    port = find_free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield network, f"http://127.0.0.1:{port}"
    finally:
        network.release.set()
        await runner.cleanup()


@dataclass(slots=True)
class DatabaseWay:
    """A way to PostgreSQL. From a statement with the `mark` among its values on, its answer is held until `release`."""

    socket_path: str
    mark: bytes = b"HOLD THIS ANSWER"
    is_held: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        far_reader, far_writer = await asyncio.open_unix_connection(self.socket_path)
        open_gate = asyncio.Event()
        open_gate.set()
        try:
            await asyncio.gather(self._ask(reader, far_writer, open_gate), self._answer(far_reader, writer, open_gate))
        except OSError:
            pass
        finally:
            writer.close()
            far_writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        tail = b""
        while piece := await reader.read(65_536):
            if self.mark in tail + piece and not self.release.is_set():
                gate.clear()
                self.is_held.set()
            tail = piece[-len(self.mark) :]
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        while piece := await reader.read(65_536):
            if not gate.is_set():
                await self.release.wait()
            writer.write(piece)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def open_database_way(dsn: str) -> AsyncIterator[tuple[DatabaseWay, str]]:
    """Open a way to the server behind a DSN, and return it with the DSN that leads through it."""
    target = urlsplit(dsn)
    options = parse_qs(target.query)
    port = options.get("port", ["5432"])[0]
    way = DatabaseWay(f"{options['host'][0]}/.s.PGSQL.{port}")
    server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
    own_port = server.sockets[0].getsockname()[1]
    try:
        yield way, f"postgresql://{target.username}@127.0.0.1:{own_port}{target.path}"
    finally:
        way.release.set()
        server.close()


@dataclass(slots=True)
class Deployment:
    """The processes, by name, and how to reach them."""

    url: str
    demo: Demo
    network: Network
    worker_network: Network
    #: The way of `serve` to the database.
    database_way: DatabaseWay
    processes: dict[str, subprocess.Popen[bytes]]

    def pause(self, name: str) -> None:
        """Stop a process where it stands, and wait until it is."""
        pid = self.processes[name].pid
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self, name: str) -> None:
        """Let a paused process go on."""
        os.kill(self.processes[name].pid, signal.SIGCONT)


@asynccontextmanager
async def open_deployment(dsn: str, directory: Path) -> AsyncIterator[Deployment]:
    """Start the processes, and end them."""
    directory.mkdir(parents=True, exist_ok=True)
    simulator_port, port, health_port, worker_port = (find_free_port() for _ in range(4))
    simulator_url, url = f"http://127.0.0.1:{simulator_port}", f"http://127.0.0.1:{port}"
    demo = await _make_demo(dsn, directory, url)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    async with (
        open_network(simulator_url) as (network, way),
        open_network(simulator_url) as (far, far_way),
        open_database_way(dsn) as (database_way, database_url),
    ):
        own = {name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")} | QUICK
        own |= {
            "PYTHONPATH": str(SOURCE),
            "TOLLHOUSE_DATABASE_URL": dsn,
            "TOLLHOUSE_DATA_DIR": str(directory),
            "TOLLHOUSE_LOG_FORMAT": "json",
            "TOLLHOUSE_SIMULATOR_SECRET": "a secret of the test",
            "TOLLHOUSE_DRAIN_SECONDS": "0",
        }
        commands = {
            "simulate": (["--port", str(simulator_port)], {"TOLLHOUSE_SIMULATOR_BASE_URL": simulator_url}),
            "serve": (
                ["--port", str(port), "--health-port", str(health_port)],
                {"TOLLHOUSE_SIMULATOR_URL": way, "TOLLHOUSE_DATABASE_URL": database_url},
            ),
            "work": (["--health-port", str(worker_port)], {"TOLLHOUSE_SIMULATOR_URL": far_way}),
        }
        with (directory / "log").open("ab") as log:
            try:
                for name, (options, environment) in commands.items():
                    processes[name] = subprocess.Popen(
                        [sys.executable, "-m", "tollhouse", name, *options],
                        env=own | environment,
                        stdout=log,
                        stderr=log,
                    )
                for each in (simulator_port, health_port, worker_port):
                    await asyncio.to_thread(_wait_until_ready, f"http://127.0.0.1:{each}/readyz")
                yield Deployment(url, demo, network, far, database_way, processes)
            finally:
                _end(processes)


async def _make_demo(dsn: str, directory: Path, url: str) -> Demo:
    vault = Vault(FileKeyProvider.open(directory / "keys.json"))
    demo = read_or_draw_demo(directory / "demo.json", base_url=url)
    database = await Database.connect(dsn, schema="gateway")
    await ensure_demo(
        database,
        demo,
        seal_ipn_secret=lambda merchant_id, secret: vault.seal_secret(secret, bound_to=f"ipn|{merchant_id}"),
    )
    await database.close()
    return demo


def _wait_until_ready(url: str) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own address
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nobody is ready at {url}")


def _end(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    for process in processes.values():
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
    for process in processes.values():
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
