"""Delete rows past their retention, in bounded batches, each in its own database transaction.

A backlog is removed in small steps, each of which stays if the next one fails. The lag of a table is how long its
oldest row has been overdue: it is a metric, and an error in the log when it grows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from tollhouse.kernel.errors import DatabaseUnavailable
from tollhouse.storage.database import Database, PlainConnection
from tollhouse.storage.queries import load_queries

#: Rows of one database transaction, which takes some tens of milliseconds.
MAX_BATCH_ROWS = 2_000
#: The smallest batch, if the database is too slow for a larger one within the statement timeout.
MIN_BATCH_ROWS = 10
#: Batches of one table in one step, so that a step ends regardless of new rows.
MAX_BATCHES = 500
#: A larger lag of a table is an error.
MAX_LAG_SECONDS = 900.0

log = structlog.get_logger()
queries = load_queries("tollhouse.storage")


@dataclass(frozen=True, slots=True)
class Sweep:
    """The rows of a table to delete.

    `delete` is called with a connection and `most`, deletes up to that many rows, oldest first and by an index, and
    returns their number. `select_lag` returns the seconds for which the oldest of them has been overdue, or None.
    """

    name: str
    delete: Callable[..., Awaitable[int]]
    select_lag: Callable[..., Awaitable[float | None]]


def sweep_expired(table: str, column: str, *, kept: timedelta = timedelta()) -> Sweep:
    """Build the sweep of a table whose rows are kept for so long after the time in a column, which has an index."""
    names = {"table_name": table, "column_name": column, "kept": kept}
    return Sweep(table, partial(queries.delete_expired, **names), partial(queries.select_expired_lag, **names))


class Sweeper:
    """A runner of sweeps, one after the other, round by round, until no sweep has a full batch left."""

    def __init__(self, database: Database, sweeps: Sequence[Sweep], *, stop: asyncio.Event | None = None) -> None:
        self._database = database
        self._sweeps = sweeps
        self._stop = stop or asyncio.Event()
        self._batch_rows = dict.fromkeys((sweep.name for sweep in sweeps), MAX_BATCH_ROWS)

    async def step(self) -> int:
        """Delete overdue rows and return their number. Stop between two batches if the process is stopping.

        A failing sweep is logged and does not block others. Raises DatabaseUnavailable.
        """
        removed = 0
        left = list(self._sweeps)
        for _ in range(MAX_BATCHES):
            for sweep in tuple(left):
                if self._stop.is_set():
                    return removed
                rows, is_full = await self._try_batch(sweep)
                removed += rows
                if not is_full:
                    left.remove(sweep)
            if not left:
                break
        await self._report_lag()
        return removed

    async def _try_batch(self, sweep: Sweep) -> tuple[int, bool]:
        """Delete one batch. Return its number of rows, and whether there may be more."""
        most = self._batch_rows[sweep.name]
        try:
            async with self._database.transaction() as connection:
                rows = await sweep.delete(connection, most=most)
        except DatabaseUnavailable:
            # The batch may have exceeded its timeout, so the next one is smaller.
            self._batch_rows[sweep.name] = max(most // 4, MIN_BATCH_ROWS)
            raise
        except Exception:
            log.exception("sweep.failed", table=sweep.name)
            return 0, False
        if rows == most:
            self._batch_rows[sweep.name] = min(most * 2, MAX_BATCH_ROWS)
        return rows, rows == most

    async def _report_lag(self) -> None:
        async with self._database.acquire() as connection:
            lags = await select_lags(connection, self._sweeps)
        for name, seconds in lags.items():
            if seconds > MAX_LAG_SECONDS:
                log.error("sweep.behind", table=name, lag_seconds=round(seconds))


async def select_lags(connection: PlainConnection, sweeps: Sequence[Sweep]) -> dict[str, float]:
    """Return the lag of each table in seconds."""
    return {sweep.name: max(0.0, await sweep.select_lag(connection) or 0.0) for sweep in sweeps}
