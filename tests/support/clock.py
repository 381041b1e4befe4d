"""Moving a merchant's clock in tests, with nobody who does what falls due on the way."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from tollhouse.kernel.clock import DatabaseClock
from tollhouse.merchants.clock import advance_clock, lease_clock, release_clock
from tollhouse.storage.database import Database


async def leap(database: Database, merchant_id: int = 1, *clocks: DatabaseClock, **by: float) -> None:
    """Advance a merchant's clock by `days=3`, `minutes=15` and so on in one step, and tell these processes of it."""
    lease = uuid4()
    async with database.acquire() as connection:
        taken = await lease_clock(connection, merchant_id, lease=lease)
        assert taken is not None
        until = taken.time + timedelta(**by)
        moved = await advance_clock(connection, merchant_id, lease=lease, until=until)
        assert moved is not None
        await release_clock(connection, merchant_id, lease=lease)
    for clock in clocks:
        clock.observe_offset(merchant_id, moved.offset)
