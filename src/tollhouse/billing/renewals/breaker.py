"""The breaker of renewals: it pauses them if an hour has three times as many as forecast, and logs an error.

A fault that charges too much (a clock that leapt, copied rows, a defect of ours) shows within hours, and a pause costs
a merchant only time. An outage is also followed by a pause if more than three hours' worth was missed; an operator who
knows the reason resumes them (`tollhouse renewals resume`). Small numbers never pause. Renewals that are left at the
end of an hour are expected in the next one. Only charges pause; other processing continues.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from msgspec import Struct

from tollhouse.billing.store import queries
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.sweep import Sweep

#: The pause begins at so many times the forecast of the hour.
FACTOR = 3
#: So many renewals in an hour never pause them.
FLOOR = 100

log = structlog.get_logger()


class Hour(Struct, frozen=True):
    """The renewals of this hour of real time."""

    forecast: int
    begun: int
    #: The beginning of the pause; None if there is no pause.
    paused_at: datetime | None
    #: The number of due subscriptions, if it was counted.
    due: int = 0

    @property
    def limit(self) -> int:
        """The limit of renewals in this hour."""
        return max(FLOOR, FACTOR * self.forecast)

    @property
    def room(self) -> int:
        """The number of renewals that may still begin."""
        return 0 if self.paused_at else max(0, self.limit - self.begun)


async def count_renewals(connection: PlainConnection, count: int) -> Hour:
    """Count renewals that began, and return the hour. It is paused if they exceed its limit."""
    row = await queries.count_renewals(connection, count=count, floor=FLOOR, factor=FACTOR)
    if row is None:  # the first count of this hour
        await queries.insert_renewal_hour(connection)
        row = await queries.count_renewals(connection, count=count, floor=FLOOR, factor=FACTOR)
    hour = Hour(**row)
    if hour.paused_at and count:
        log.error("renewals.paused", forecast=hour.forecast, begun=hour.begun, limit=hour.limit)
    return hour


async def select_hour(connection: PlainConnection) -> Hour:
    """Return the hour, with the number of due subscriptions."""
    return Hour(**await queries.select_renewal_hour(connection))


async def resume_renewals(connection: PlainConnection) -> Hour:
    """Resume renewals, and return the hour. The caller confirms that the due charges are right."""
    await queries.resume_renewals(connection)
    return await select_hour(connection)


#: Deletes old hours.
SWEEPS = (Sweep("renewal_hour", queries.delete_old_hours, queries.select_hours_lag),)
