"""A deployment in processes of its own: `simulate`, `serve` and `work` on one database, with a network in between.

The network is in the test: what `serve` and `work` send to the simulator passes through a `Network` of its own each,
which holds messages up or forges their answers.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web
from tests.support.processes import Node, build_node, build_node_environment, find_free_port

from tollhouse.stage.demo import Demo, ensure_demo, load_or_create_demo
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
        may_send = asyncio.Event()
        may_send.set()
        try:
            await asyncio.gather(self._ask(reader, far_writer, may_send), self._answer(far_reader, writer, may_send))
        except OSError:
            pass
        finally:
            writer.close()
            far_writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may_send: asyncio.Event) -> None:
        tail = b""
        while piece := await reader.read(65_536):
            if self.mark in tail + piece and not self.release.is_set():
                may_send.clear()
                self.is_held.set()
            tail = piece[-len(self.mark) :]
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may_send: asyncio.Event
    ) -> None:
        while piece := await reader.read(65_536):
            if not may_send.is_set():
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


@dataclass(frozen=True, slots=True)
class NetworkedDeployment:
    """`serve`, `work` and `simulate`, and what lies between them and what they call."""

    serve: Node
    demo: Demo
    network: Network
    worker_network: Network
    #: The way of `serve` to the database.
    database_way: DatabaseWay


@asynccontextmanager
async def open_deployment(dsn: str, directory: Path) -> AsyncIterator[NetworkedDeployment]:
    """Start the processes, and end them."""
    directory.mkdir(parents=True, exist_ok=True)

    def build(command: str, **own: str) -> Node:
        environment = build_node_environment(dsn, directory, TOLLHOUSE_DRAIN_SECONDS="0", **QUICK) | own
        return build_node(command, environment, directory / "log")

    simulate = build("simulate")
    async with (
        open_network(simulate.url) as (network, way),
        open_network(simulate.url) as (far, far_way),
        open_database_way(dsn) as (database_way, database_url),
    ):
        serve = build("serve", TOLLHOUSE_SIMULATOR_URL=way, TOLLHOUSE_DATABASE_URL=database_url)
        work = build("work", TOLLHOUSE_SIMULATOR_URL=far_way)
        demo = await _make_demo(dsn, directory, serve.url)
        nodes = (simulate, serve, work)
        try:
            for node in nodes:
                await asyncio.to_thread(node.start)
            yield NetworkedDeployment(serve, demo, network, far, database_way)
        finally:
            for node in nodes:
                node.close()


async def _make_demo(dsn: str, directory: Path, url: str) -> Demo:
    vault = Vault(FileKeyProvider.open(directory / "keys.json"))
    demo = load_or_create_demo(directory / "demo.json", base_url=url)
    database = await Database.connect(dsn, schema="gateway")
    await ensure_demo(
        database,
        demo,
        seal_ipn_secret=lambda merchant_id, secret: vault.seal_secret(secret, bound_to=f"ipn|{merchant_id}"),
    )
    await database.close()
    return demo
