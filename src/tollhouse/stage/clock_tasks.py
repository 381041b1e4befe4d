"""The interface of tasks that fall due by a merchant's clock, and disputes, whose dates the acquirers keep."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from tollhouse.payments.dependencies import DisputeDependencies
from tollhouse.payments.disputes.import_disputes import find_next_dispute, import_disputes
from tollhouse.storage.database import Database, PlainConnection

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class DueMoment:
    """The work that a step waits for. Work that other calls begin later does not stop the clock."""

    #: Merchant time: work that was due by then.
    time: datetime
    #: The same in real time: work that had begun by then.
    real_at: datetime
    #: Whether to wait for failing endpoints.
    is_patient: bool = True


@dataclass(frozen=True, slots=True)
class ClockDrivenTask:
    """A task driven by the clock. Any number of processes may call its functions concurrently."""

    #: The name that merchants see.
    name: str
    #: Returns the next due time of a merchant, in merchant time, or None. It may be past.
    next_due: Callable[[int, DueMoment], Awaitable[datetime | None]]
    #: Returns whether work of a merchant that was due at a time still is, or is in progress.
    is_busy: Callable[[int, DueMoment], Awaitable[bool]]
    #: Does due work of all merchants, except work leased elsewhere, and returns its amount.
    run: Callable[[], Coroutine[Any, Any, int]]


class Disputes:
    """Future disputes. One that cannot be imported yet, as its payment has an open operation, is not waited for."""

    def __init__(self, disputes: DisputeDependencies) -> None:
        self._disputes = disputes
        self._running = 0
        #: By merchant: the time of the dispute requested of a run, and of one that a run left.
        self._requested: dict[int, datetime] = {}
        self._left: dict[int, datetime] = {}

    async def next_due(self, merchant_id: int, mark: DueMoment) -> datetime | None:
        """Return the merchant time of the next dispute, if it is in the future."""
        del mark
        at = await find_next_dispute(self._disputes, merchant_id)
        return None if at is None or at <= self._disputes.clock.now_of(merchant_id) else at

    async def is_busy(self, merchant_id: int, mark: DueMoment) -> bool:
        """Return whether a dispute of a merchant is due, or any is being imported."""
        if self._running:
            return True
        at = await find_next_dispute(self._disputes, merchant_id)
        if at is None or at > mark.time or self._left.get(merchant_id) == at:
            return False
        self._requested[merchant_id] = at
        return True

    async def run(self) -> int:
        """Import due disputes. Requested ones that are still there afterwards are left."""
        requested = dict(self._requested)
        self._running += 1
        try:
            return await import_disputes(self._disputes)
        finally:
            self._running -= 1
            self._left.update(requested)


async def return_no_due_time(merchant_id: int, mark: DueMoment) -> None:
    """Return no due time, for tasks that depend on real time alone."""
    del merchant_id, mark


def query_rows(
    database: Database, select: Callable[[PlainConnection, int, DueMoment], Awaitable[Found]]
) -> Callable[[int, DueMoment], Awaitable[Found]]:
    """Return a function that queries rows of a merchant."""

    async def ask(merchant_id: int, mark: DueMoment) -> Found:
        async with database.acquire() as connection:
            return await select(connection, merchant_id, mark)

    return ask
