"""Release held deliveries that no outcome will release.

A held delivery is released when the event before it in its thread finishes. If it is held although no earlier event is
unfinished, a defect or a manual change left it behind: it is released, counted and logged as an error.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from tollhouse.ipn import store
from tollhouse.ipn.store import HeldKey
from tollhouse.storage.database import Database

#: Held deliveries of one step.
MAX_BATCH_DELIVERIES = 1_000

#: A position before all others.
START = HeldKey(0, 0, 0)

log = structlog.get_logger()


async def release_orphans(
    database: Database, after: HeldKey, *, batch: int = MAX_BATCH_DELIVERIES
) -> tuple[HeldKey, int]:
    """Release the orphans among the next held deliveries.

    Returns the position of the next step, `START` at the end, and the number of orphans.
    """
    async with database.transaction() as connection:
        held = await store.select_held(connection, after, most=batch)
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
