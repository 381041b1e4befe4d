"""The queues of subscriptions: cards to check, and renewals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.billing.model import SubscriptionContext
from tollhouse.billing.renewals.check_card import check_card, lease_due_cards
from tollhouse.billing.renewals.renew import Due, lease_due, load_due, renew
from tollhouse.worker.queue import LeasedQueue, RunningPiece, Work, lease_up_to

MAX_RUNNING_CHECKS = 50
MAX_CHECK_INTERVAL_SECONDS = 5.0
#: Concurrent charges, and subscriptions of one lease. Charges share begin and finish with all other payments, which
#: more of them would delay.
MAX_RUNNING_CHARGES = 128
MAX_BATCH_SUBSCRIPTIONS = 64
MAX_RENEWAL_INTERVAL_SECONDS = 1.0


def build_card_work(billing: BillingDependencies) -> Work[SubscriptionContext]:
    """Build the queue of subscriptions whose cards are due for a check before they are charged."""
    return Work(
        "check cards",
        lease=lease_up_to(MAX_RUNNING_CHECKS, partial(lease_due_cards, billing)),
        handle=partial(check_card, billing),
        describe=lambda case: {"subscription_id": case.subscription.subscription_id},
        idle_seconds=MAX_CHECK_INTERVAL_SECONDS,
    )


async def check_due_cards(billing: BillingDependencies) -> int:
    """Check the cards that are due, and return the number of subscriptions."""
    return await LeasedQueue(build_card_work(billing)).empty()


@dataclass(slots=True)
class Renewals:
    """The renewals of one worker, with the number of subscriptions that it has leased."""

    billing: BillingDependencies
    leased: int = 0

    def build_work(self) -> Work[Due]:
        """Build the queue of renewals. A charge continues if it is canceled (`idempotency.running.Running`)."""
        return Work(
            "renew subscriptions",
            lease=self._lease,
            handle=self._renew,
            describe=lambda due: {"subscription_id": due.case.subscription.subscription_id},
            idle_seconds=MAX_RENEWAL_INTERVAL_SECONDS,
            rests=False,
        )

    async def _lease(self, under_way: Sequence[RunningPiece[Due]]) -> Sequence[Due]:
        """Lease subscriptions, process at once those without a charge, and return the charges."""
        limit = min(MAX_BATCH_SUBSCRIPTIONS, MAX_RUNNING_CHARGES - len(under_way))
        while limit > 0 and (cases := await lease_due(self.billing, limit=limit)):
            self.leased += len(cases)
            if dues := await load_due(self.billing, cases):
                return dues
        return ()

    async def _renew(self, due: Due) -> None:
        await renew(self.billing, due)


async def renew_due(billing: BillingDependencies) -> int:
    """Renew due subscriptions, and return the number that was leased."""
    renewals = Renewals(billing)
    await LeasedQueue(renewals.build_work()).empty()
    return renewals.leased
