"""Track running workers, so that leases of a dead one are released within seconds, and release held deliveries.

A held delivery is released when the event before it in its thread finishes. If it is held although no earlier event is
unfinished, a defect or a manual change left it behind: it is released, counted and logged as an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from secrets import randbits

import structlog

from tollhouse.ipn import store
from tollhouse.ipn.store import HeldKey, HostKey, queries, wake_hosts
from tollhouse.storage.database import Database

#: A worker without a heartbeat for so long counts as dead.
HEARTBEAT_TIMEOUT = timedelta(seconds=5)
#: Workers and leases of one step.
MAX_WORKERS = 100
MAX_LEASES = 1_000
#: Held deliveries of one step.
MAX_BATCH_DELIVERIES = 1_000

#: A position before all others.
START = HeldKey(0, 0, 0)

log = structlog.get_logger()


class Heartbeat:
    """The heartbeat of one worker. `worker_id` is its name in leases."""

    def __init__(self, database: Database, *, silent_after: timedelta = HEARTBEAT_TIMEOUT) -> None:
        self.worker_id = randbits(62)
        self._database = database
        self._silent_after = silent_after
        self._beating_since: float | None = None

    async def beat(self) -> int:
        """Record a heartbeat, release leases of dead workers, and return the number of their hosts.

        After an outage of the database all heartbeats are old. So no worker counts as dead until this one has recorded
        heartbeats for a while.
        """
        try:
            async with self._database.transaction() as connection:
                await queries.upsert_worker(connection, worker_id=self.worker_id)
                if not self._has_heard_others():
                    return 0
                await queries.delete_silent_workers(connection, silent_for=self._silent_after, max_rows=MAX_WORKERS)
                hosts = [
                    HostKey(row["merchant_id"], row["host_id"])
                    async for row in queries.release_stray_leases(connection, max_rows=MAX_LEASES)
                ]
                await wake_hosts(connection, hosts)
                return len(hosts)
        except BaseException:
            self._beating_since = None
            raise

    async def delete(self) -> None:
        """Delete this worker."""
        async with self._database.acquire() as connection:
            await queries.delete_worker(connection, worker_id=self.worker_id)

    def _has_heard_others(self) -> bool:
        now = time.monotonic()
        if self._beating_since is None:
            self._beating_since = now
        return now - self._beating_since > self._silent_after.total_seconds()


async def release_orphans(
    database: Database, after: HeldKey, *, batch: int = MAX_BATCH_DELIVERIES
) -> tuple[HeldKey, int]:
    """Release the orphans among the next held deliveries.

    Returns the position of the next step, `START` at the end, and the number of orphans.
    """
    async with database.transaction() as connection:
        held = await store.select_held(connection, after, max_rows=batch)
        orphans = [delivery for delivery in held if delivery.is_orphan]
        if orphans:
            hosts = await store.release_held(connection, [delivery.thread for delivery in orphans])
            await store.wake_hosts(connection, hosts)
    for delivery in orphans:
        log.error("callback.orphan_freed", **delivery.key._asdict(), thread=delivery.thread.thread)
    return (held[-1].key if len(held) == batch else START), len(orphans)


class OrphanSweep:
    """The sweep that releases orphans, one batch at a time, and calls `count` with their number."""

    def __init__(self, database: Database, count: Callable[[int], None]) -> None:
        self._database = database
        self._count = count
        self._after = START

    async def step(self) -> int:
        """Sweep the next batch, and return the number of released orphans."""
        self._after, orphans = await release_orphans(self._database, self._after)
        if orphans:
            self._count(orphans)
        return orphans
