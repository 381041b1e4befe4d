"""Renew subscriptions that are due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.billing.renewals.renew import Due, lease_due, load_due, renew
from tollhouse.worker.queue import LeasedQueue, UnderWay, Work

#: Concurrent charges, and subscriptions of one lease. Charges share begin and finish with all other payments, which
#: more of them would delay.
MAX_UNDER_WAY = 128
BATCH = 64
IDLE_SECONDS = 1.0


@dataclass(slots=True)
class Renewals:
    """The renewals of one worker, with the number of subscriptions that it has leased."""

    biller: BillingDependencies
    leased: int = 0

    def build_work(self) -> Work[Due]:
        """Build the queue of renewals. A charge continues if its handling is canceled (`payments.work.Running`)."""
        return Work(
            "renew subscriptions",
            lease=self._lease,
            handle=self._renew,
            describe=lambda due: {"subscription_id": due.case.subscription.subscription_id},
            idle_seconds=IDLE_SECONDS,
            rests=False,
        )

    async def _lease(self, under_way: Sequence[UnderWay[Due]]) -> Sequence[Due]:
        """Lease subscriptions, process at once those without a charge, and return the charges."""
        limit = min(BATCH, MAX_UNDER_WAY - len(under_way))
        while limit > 0 and (cases := await lease_due(self.biller, limit=limit)):
            self.leased += len(cases)
            if dues := await load_due(self.biller, cases):
                return dues
        return ()

    async def _renew(self, due: Due) -> None:
        await renew(self.biller, due)


async def renew_due(biller: BillingDependencies) -> int:
    """Renew due subscriptions, and return the number that was leased."""
    renewals = Renewals(biller)
    await LeasedQueue(renewals.build_work()).empty()
    return renewals.leased
