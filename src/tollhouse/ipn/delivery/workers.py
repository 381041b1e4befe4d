"""Track running workers, so that leases of a dead one are released within seconds."""

from __future__ import annotations

import time
from datetime import timedelta
from secrets import randbits

from tollhouse.ipn.store import HostKey, queries, wake_hosts
from tollhouse.storage.database import Database

#: A worker without a heartbeat for so long counts as dead.
HEARTBEAT_TIMEOUT = timedelta(seconds=5)
#: Workers and leases of one step.
MAX_WORKERS = 100
MAX_LEASES = 1_000


class Heartbeat:
    """The heartbeat of one worker. `worker_id` is its name in leases."""

    def __init__(self, database: Database, *, silent_after: timedelta = HEARTBEAT_TIMEOUT) -> None:
        self.worker_id = randbits(62)
        self._database = database
        self._silent_after = silent_after
        self._heard_since: float | None = None

    async def beat(self) -> int:
        """Record a heartbeat, release leases of dead workers, and return the number of their hosts.

        After an outage of the database all heartbeats are old. So no worker counts as dead until this one has recorded
        heartbeats for a while.
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
        """Delete this worker."""
        async with self._database.acquire() as connection:
            await queries.delete_worker(connection, worker_id=self.worker_id)

    def _can_judge(self) -> bool:
        now = time.monotonic()
        if self._heard_since is None:
            self._heard_since = now
        return now - self._heard_since > self._silent_after.total_seconds()
