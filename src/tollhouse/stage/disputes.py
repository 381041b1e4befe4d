"""What issuers charge back as a merchant's clock is moved. The acquirers keep the dates, so these are asked."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from tollhouse.payments.disputes.import_disputes import find_next_dispute, import_disputes

if TYPE_CHECKING:
    from tollhouse.payments.dependencies import DisputeDependencies
    from tollhouse.stage.clock_tasks import DueMoment


class Disputes:
    """Disputes to come. One that cannot be taken in yet, as an operation on its payment is open, holds no clock up."""

    def __init__(self, disputes: DisputeDependencies) -> None:
        self._disputes = disputes
        self._under_way = 0
        #: By merchant, the instant of the dispute for which a run was asked, and of one that a run has left.
        self._wanted: dict[int, datetime] = {}
        self._left: dict[int, datetime] = {}

    async def next_due(self, merchant_id: int, mark: DueMoment) -> datetime | None:
        """Return when the next dispute of a merchant falls due, in its time, if that is still to come."""
        del mark
        at = await find_next_dispute(self._disputes, merchant_id)
        return None if at is None or at <= self._disputes.clock.now_of(merchant_id) else at

    async def is_busy(self, merchant_id: int, mark: DueMoment) -> bool:
        """Tell whether a dispute of a merchant is due, or any is being taken in."""
        if self._under_way:
            return True
        at = await find_next_dispute(self._disputes, merchant_id)
        if at is None or at > mark.time or self._left.get(merchant_id) == at:
            return False
        self._wanted[merchant_id] = at
        return True

    async def run(self) -> int:
        """Take in what is due, and note what was asked for: what is there still after that is left."""
        wanted = dict(self._wanted)
        self._under_way += 1
        try:
            return await import_disputes(self._disputes)
        finally:
            self._under_way -= 1
            self._left.update(wanted)
