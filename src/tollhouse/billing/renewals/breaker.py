"""The breaker of renewals: when an hour has three times as many as it should, they pause, and somebody is told.

Whatever charges too much (a clock that leapt, rows that were copied, a fault of ours) does so within hours, and a pause
costs a merchant nothing but time. An outage is followed by a pause too, if more was missed than three hours' worth:
somebody who knows why lets the renewals go on (`tollhouse renewals resume`). Small numbers never pause. Renewals that
are left at the end of an hour are expected in the next one. Only charges pause; all else that is due is done.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from msgspec import Struct

from tollhouse.billing.store import queries
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.sweep import Sweep

#: The pause comes at so many times the forecast of the hour (behaviour, section 6, and the issue it comes from).
FACTOR = 3
#: So many in an hour are no alarm, whatever the forecast.
FLOOR = 100

log = structlog.get_logger()


class Hour(Struct, frozen=True):
    """How the renewals of this hour stand, by real time."""

    forecast: int
    begun: int
    #: Since when they are paused; None while they go on.
    paused_at: datetime | None
    #: How many subscriptions there is something to do with now, where that was asked for.
    due: int = 0

    @property
    def limit(self) -> int:
        """How many may be begun in this hour."""
        return max(FLOOR, FACTOR * self.forecast)

    @property
    def room(self) -> int:
        """How many more may be begun."""
        return 0 if self.paused_at else max(0, self.limit - self.begun)


async def note_renewals(connection: PlainConnection, count: int) -> Hour:
    """Count renewals that were begun, and return how the hour stands; it is paused by whoever exceeds its limit."""
    row = await queries.count_renewals(connection, count=count, floor=FLOOR, factor=FACTOR)
    if row is None:  # the first look of this hour
        await queries.insert_renewal_hour(connection)
        row = await queries.count_renewals(connection, count=count, floor=FLOOR, factor=FACTOR)
    hour = Hour(**row)
    if hour.paused_at and count:
        log.error("renewals.paused", forecast=hour.forecast, begun=hour.begun, limit=hour.limit)
    return hour


async def select_hour(connection: PlainConnection) -> Hour:
    """Return how the hour stands, and how much is due."""
    return Hour(**await queries.select_renewal_hour(connection))


async def resume_renewals(connection: PlainConnection) -> Hour:
    """Let renewals go on: what is due now is right, says who calls this. Returns how the hour stands then."""
    await queries.resume_renewals(connection)
    return await select_hour(connection)


#: Hours that are long over.
SWEEPS = (Sweep("renewal_hour", queries.delete_old_hours, queries.select_hours_lag),)
