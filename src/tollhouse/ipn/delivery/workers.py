"""Know which workers are there, so that what a dead one had leased is taken back within seconds."""

from __future__ import annotations

import time
from datetime import timedelta
from secrets import randbits

from tollhouse.ipn.store import HostKey, queries, wake_hosts
from tollhouse.storage.database import Database

#: A worker that has been silent for so long is gone.
SILENT_AFTER = timedelta(seconds=5)
#: Workers and leases of one look.
MAX_WORKERS = 100
MAX_LEASES = 1_000


class Presence:
    """One worker's presence. `worker_id` is its name in leases."""

    def __init__(self, database: Database, *, silent_after: timedelta = SILENT_AFTER) -> None:
        self.worker_id = randbits(62)
        self._database = database
        self._silent_after = silent_after
        self._heard_since: float | None = None

    async def beat(self) -> int:
        """Say that this worker is there, take back what dead ones had leased, and return how much that was.

        A database that was away has heard nobody, so nobody is taken for dead before this worker was heard for a while.
        """
        try:
            async with self._database.transaction() as connection:
                await queries.upsert_worker(connection, worker_id=self.worker_id)
                if not self._can_judge():
                    return 0
                await queries.delete_silent_workers(connection, silent_for=self._silent_after, most=MAX_WORKERS)
                hosts = [
                    HostKey(row["merchant_id"], row["host_id"])
                    async for row in queries.release_stray_leases(connection, most=MAX_LEASES)
                ]
                await wake_hosts(connection, hosts)
                return len(hosts)
        except BaseException:
            self._heard_since = None
            raise

    async def leave(self) -> None:
        """Say that this worker has gone."""
        async with self._database.acquire() as connection:
            await queries.delete_worker(connection, worker_id=self.worker_id)

    def _can_judge(self) -> bool:
        now = time.monotonic()
        if self._heard_since is None:
            self._heard_since = now
        return now - self._heard_since > self._silent_after.total_seconds()
