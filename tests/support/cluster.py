"""Two database servers: a primary, and a standby that follows it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg

from tollhouse.storage.embedded import EmbeddedPostgres, find_binaries


@dataclass
class Cluster:
    """A server that takes writes and one that follows it."""

    primary: EmbeddedPostgres
    standby: EmbeddedPostgres
    dsn: str

    async def run(self, server: EmbeddedPostgres, statement: str) -> None:
        """Run a statement on one of the servers."""
        connection = await asyncpg.connect(server.owner_dsn)
        await connection.execute(statement)
        await connection.close()

    async def promote(self) -> None:
        """Let the standby take writes."""
        await self.run(self.standby, "select pg_promote(wait => true)")


@asynccontextmanager
async def open_cluster(directory: Path) -> AsyncIterator[Cluster]:
    """Start a primary and a standby that is a base backup of it, with a DSN that names the standby first."""
    first, second = directory / "a", directory / "b"
    directory.mkdir(mode=0o711)
    primary, standby = EmbeddedPostgres(first), EmbeddedPostgres(second)
    await primary.start()
    second.mkdir(mode=0o711)
    copy = [str(find_binaries() / "pg_basebackup"), f"--pgdata={second / 'postgres'}", "--write-recovery-conf"]
    own = f"--dbname={primary.owner_dsn}"
    await asyncio.to_thread(subprocess.run, [*copy, own, "--checkpoint=fast"], check=True, env={"PATH": os.defpath})
    owner = (first / "postgres").stat()
    for path in [second / "postgres", *(second / "postgres").rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    await standby.start()
    hosts = ",".join(str((directory / "socket").resolve()) for directory in (second, first))
    yield Cluster(primary, standby, f"postgresql://tollhouse@/tollhouse?host={quote(hosts, safe=',')}&port=5432")
    await standby.stop()
    await primary.stop()
    shutil.rmtree(directory, ignore_errors=True)


async def wait_until_copied(cluster: Cluster) -> None:
    """Wait until the standby has everything."""
    connection = await asyncpg.connect(cluster.primary.owner_dsn)
    async with asyncio.timeout(30):
        while not await connection.fetchval(  # noqa: ASYNC110 - another process
            "select bool_and(replay_lsn >= pg_current_wal_lsn()) from pg_stat_replication"
        ):
            await asyncio.sleep(0.05)
    await connection.close()
