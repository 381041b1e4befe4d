"""A merchant's clock: how far it is ahead of the real one, who knows that, and moving it.

A merchant's time is the real time and an offset, zero in live, which only grows. Each step is written down, so that the
merchant's time of any moment in the past is known as well. One at a time moves a clock, with a lease: a process that
dies in the middle leaves the clock where it came to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tollhouse.merchants.store import queries

if TYPE_CHECKING:
    from uuid import UUID

    from tollhouse.kernel.clock import DatabaseClock
    from tollhouse.storage.database import Database, PlainConnection

#: How long nobody else may move a clock after its last step. It is prolonged while things are done at one step.
LEASE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Reading:
    """A merchant's time as the database told it, and how far that is ahead of the real one."""

    time: datetime
    offset: timedelta


async def read_offsets(database: Database, clock: DatabaseClock) -> None:
    """Tell a process's clock how far each merchant's time is ahead. Raises DatabaseUnavailable."""
    async with database.acquire() as connection:
        async for row in queries.select_offsets(connection):
            clock.observe_offset(row["merchant_id"], row["clock_offset"])


async def select_clock(connection: PlainConnection, merchant_id: int) -> Reading:
    """Return a merchant's time."""
    row = await queries.select_clock(connection, merchant_id=merchant_id)
    return Reading(row["time"], row["clock_offset"])


async def update_clock_taken(connection: PlainConnection, merchant_id: int, *, lease: UUID) -> Reading | None:
    """Become the only one who moves a merchant's clock, and return its time; None when somebody else is."""
    row = await queries.update_clock_taken(
        connection, merchant_id=merchant_id, lease=lease, lease_seconds=LEASE_SECONDS
    )
    return _read(row)


async def update_clock_moved(
    connection: PlainConnection, merchant_id: int, *, lease: UUID, until: datetime
) -> Reading | None:
    """Move a merchant's clock to a moment, never back, and return its time; None when the lease is lost."""
    row = await queries.update_clock_moved(
        connection, merchant_id=merchant_id, lease=lease, until=until, lease_seconds=LEASE_SECONDS
    )
    return _read(row)


async def update_clock_released(connection: PlainConnection, merchant_id: int, *, lease: UUID) -> None:
    """Let somebody else move the clock, unless the lease was lost."""
    await queries.update_clock_released(connection, merchant_id=merchant_id, lease=lease)


def _read(row: Mapping[str, Any] | None) -> Reading | None:
    return Reading(row["time"], row["clock_offset"]) if row else None
