"""Disputes that fall due by a merchant's clock. The acquirers keep their dates, so they are queried."""

from __future__ import annotations

from datetime import datetime

from tollhouse.payments.dependencies import DisputeDependencies
from tollhouse.payments.disputes.import_disputes import find_next_dispute, import_disputes
from tollhouse.stage.clock_tasks import DueMoment


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
