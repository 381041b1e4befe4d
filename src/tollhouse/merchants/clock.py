"""Read, lease and advance a merchant's virtual clock.

A merchant's time is real time plus an offset that only grows; in live it is zero. Each advance is recorded, so the
merchant's time of any past moment is known. A lease permits one process at a time to advance a clock. If the process
dies, the clock keeps the last time that it reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tollhouse.kernel.clock import DatabaseClock
from tollhouse.merchants.store import queries
from tollhouse.storage.database import Database, PlainConnection

#: Seconds after an advance until another process may advance the clock. The lease is renewed while due work is done.
LEASE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class MerchantTime:
    """A merchant's time from the database, and its offset from real time."""

    time: datetime
    offset: timedelta


async def read_offsets(database: Database, clock: DatabaseClock) -> None:
    """Load the offsets of all merchants into a process's clock. Raises DatabaseUnavailable."""
    async with database.acquire() as connection:
        async for row in queries.select_offsets(connection):
            clock.observe_offset(row["merchant_id"], row["clock_offset"])


async def select_clock(connection: PlainConnection, merchant_id: int) -> MerchantTime:
    """Return a merchant's time."""
    row = await queries.select_clock(connection, merchant_id=merchant_id)
    return MerchantTime(row["time"], row["clock_offset"])


async def lease_clock(connection: PlainConnection, merchant_id: int, *, lease: UUID) -> MerchantTime | None:
    """Lease a merchant's clock, and return its time. Return None if another process holds the lease."""
    row = await queries.lease_clock(connection, merchant_id=merchant_id, lease=lease, lease_seconds=LEASE_SECONDS)
    return _read(row)


async def advance_clock(
    connection: PlainConnection, merchant_id: int, *, lease: UUID, until: datetime
) -> MerchantTime | None:
    """Advance a merchant's clock to a moment, never back, and return its time. Return None if the lease was lost."""
    row = await queries.advance_clock(
        connection, merchant_id=merchant_id, lease=lease, until=until, lease_seconds=LEASE_SECONDS
    )
    return _read(row)


async def release_clock(connection: PlainConnection, merchant_id: int, *, lease: UUID) -> None:
    """Release the lease of a clock, unless it was lost."""
    await queries.release_clock(connection, merchant_id=merchant_id, lease=lease)


def _read(row: Mapping[str, Any] | None) -> MerchantTime | None:
    return MerchantTime(row["time"], row["clock_offset"]) if row else None
