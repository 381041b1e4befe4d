"""What the tests stand on: closed sockets, one real PostgreSQL per worker, and a migrated database for each test.

Each pytest-xdist worker runs a server of its own, started when its first test asks for a database: that costs half a
second of each worker, needs no agreement among them on who starts it and who may stop it, and the server ends with its
worker, however that ends.
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import itertools
import os
import shutil
import socket
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import structlog
from tests.support.copies import PREPARE, Copies
from tests.support.gateways import Gateways
from tests.support.order import put_long_first

import tollhouse
from tollhouse.storage.database import Database
from tollhouse.storage.embedded import EmbeddedPostgres
from tollhouse.storage.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SOURCE = Path(tollhouse.__file__).parent
GATEWAY_MIGRATIONS = SOURCE / "storage" / "migrations"
SIMULATOR_MIGRATIONS = SOURCE / "simulator" / "migrations"
TEMPLATE = "template_tollhouse"

#: What a worker's clusters may grow to, with plenty to spare.
MEMORY_WANTED_BYTES = 2 * 2**30

#: Of the generations of garbage. Rarer than Python's own rounds, and often enough for the applications of past tests.
GARBAGE_THRESHOLDS = (20_000, 10, 20)

GATEWAYS = pytest.StashKey[Gateways]()

_clone_numbers = itertools.count(1)


class OutsideSocketRefused(RuntimeError):
    """A test wanted to talk to another machine."""


def refuse_outside_sockets(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: let Python's sockets connect to this machine only, and look up no other's name."""
    if event == "socket.connect":
        connecting, address = arguments
        inside = connecting.family == socket.AF_UNIX or is_loopback(str(address[0]))
    elif event == "socket.getaddrinfo":
        address = arguments[0]
        inside = address is None or is_loopback(address.decode() if isinstance(address, bytes) else str(address))
    else:
        return
    if not inside:
        raise OutsideSocketRefused(f"A test wanted to reach {address}; only loopback and Unix sockets are open.")


def is_loopback(host: str) -> bool:
    """Say whether a host as given to `connect` is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


sys.addaudithook(refuse_outside_sockets)


def pytest_sessionstart() -> None:
    """Hook: set up garbage collection and the log.

    Collection rests while only modules and tests are made, which stay. Exceptions are logged as Python prints them:
    with colors and values, as structlog does unless told, one takes half a second of the processor.
    """
    gc.disable()
    *processors, _ = structlog.get_config()["processors"]
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*processors, renderer])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hook: let long tests begin first, for at the end all workers would wait for them."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    items[:] = put_long_first(items, name_of=lambda item: item.nodeid, workers=workers)


def pytest_collection_finish() -> None:
    """Hook: take what collecting made out of the collector's rounds, as `tollhouse serve` does after its start.

    Each application that a test opens allocates enough for a full round every few tests; over everything that is
    imported by then that took a third of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Hook: end the gateways that nobody asks for next; one that idles takes 4 % of a processor."""
    gateways = item.session.stash.get(GATEWAYS, None)
    is_wanted = nextitem and (nextitem.path == item.path or "gateways" in getattr(nextitem, "fixturenames", ()))
    if gateways and not is_wanted:
        gateways.close()


@pytest.fixture(scope="session")
def gateways(session_directory: Path, request: pytest.FixtureRequest) -> Iterator[Gateways]:
    """The gateways in processes of their own that tests share."""
    gateways = request.session.stash[GATEWAYS] = Gateways(session_directory)
    yield gateways
    gateways.close()


@pytest.fixture(scope="session")
def session_directory() -> Iterator[Path]:
    """A directory that every user may pass through, as pytest's own is not: as root, the server runs as nobody."""
    with tempfile.TemporaryDirectory(prefix="tollhouse-tests-", dir=choose_parent()) as name:
        Path(name).chmod(0o711)
        yield Path(name)


def choose_parent() -> str | None:
    """Return memory where it has room, for clusters are tens of megabytes of small files; else the usual place."""
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a private directory with a new name in it
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > MEMORY_WANTED_BYTES
    return str(memory) if roomy else None


@pytest.fixture
def data_directory(session_directory: Path, request: pytest.FixtureRequest) -> Path:
    """A DATA_DIR for one test, not made yet, in which a server can run also when the tests run as root."""
    return session_directory / f"{next(_clone_numbers)}-{request.node.originalname[:24]}"


@pytest.fixture(scope="session")
def postgres(session_directory: Path) -> Iterator[EmbeddedPostgres]:
    """This worker's server, which forgets everything in a power cut."""
    server = EmbeddedPostgres(session_directory / "server", durable=False)
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture(scope="session")
def postgres_dsn(postgres: EmbeddedPostgres) -> str:
    """The server's own database, for administration; tests write into clones."""
    return postgres.owner_dsn


@pytest.fixture(scope="session")
def template(postgres_dsn: str) -> str:
    """The name of a database with every schema migrated, that no one is connected to."""
    asyncio.run(make_template(postgres_dsn))
    return TEMPLATE


@pytest.fixture
async def empty_dsn(postgres_dsn: str) -> AsyncIterator[str]:
    """The DSN of a database with nothing in it."""
    async with clone(postgres_dsn, "template1") as dsn:
        yield dsn


@pytest.fixture(scope="session")
def copies(postgres_dsn: str, template: str) -> Iterator[Copies]:
    """The databases of this worker's tests."""
    copies = Copies(postgres_dsn, template)
    yield copies
    copies.close()


@pytest.fixture
def database_dsn(copies: Copies) -> Iterator[str]:
    """The DSN of a database with the gateway's schema and the simulator's, as good as new."""
    with copies.lend() as dsn:
        yield dsn


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    """A database as good as new, seen as the gateway sees it."""
    database = await Database.connect(database_dsn, schema="gateway")
    yield database
    await database.close()


@pytest.fixture
async def simulator_database(database_dsn: str) -> AsyncIterator[Database]:
    """The same database as `database`, seen as the simulator sees it."""
    database = await Database.connect(database_dsn, schema="simulator")
    yield database
    await database.close()


async def make_template(dsn: str) -> None:
    """Make the template by the real migrations."""
    async with administer(dsn) as connection:
        await connection.execute(f"CREATE DATABASE {TEMPLATE}")
    template_dsn = name_database(dsn, TEMPLATE)
    for schema, directory in (("gateway", GATEWAY_MIGRATIONS), ("simulator", SIMULATOR_MIGRATIONS)):
        await migrate(template_dsn, schema=schema, directory=directory)
    async with administer(template_dsn) as connection:
        await connection.execute(PREPARE)


@asynccontextmanager
async def clone(dsn: str, template: str) -> AsyncIterator[str]:
    """Copy a template, give the copy's DSN, and drop the copy with whoever is still connected to it.

    The connection is kept for the end, for a new one takes a third of a copy.
    """
    name = f"test_{next(_clone_numbers)}"
    async with administer(dsn) as connection:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        yield name_database(dsn, name)
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def administer(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Connect to the server's own database."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


def name_database(dsn: str, name: str) -> str:
    """Return the DSN of another database of the same server."""
    return dsn.replace("@/tollhouse?", f"@/{name}?")
