"""Check the cards of subscriptions before they are charged."""

from __future__ import annotations

from functools import partial

from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.billing.model import SubscriptionContext
from tollhouse.billing.renewals.check_card import check_card, lease_due_cards
from tollhouse.worker.queue import LeasedQueue, Work, lease_up_to

MAX_UNDER_WAY = 50
IDLE_SECONDS = 5.0


def build_card_work(biller: BillingDependencies) -> Work[SubscriptionContext]:
    """Build the queue of subscriptions whose cards are due for a check."""
    return Work(
        "check cards",
        lease=lease_up_to(MAX_UNDER_WAY, partial(lease_due_cards, biller)),
        handle=partial(check_card, biller),
        describe=lambda case: {"subscription_id": case.subscription.subscription_id},
        idle_seconds=IDLE_SECONDS,
    )


async def check_due_cards(biller: BillingDependencies) -> int:
    """Check the cards that are due, and return the number of subscriptions."""
    return await LeasedQueue(build_card_work(biller)).empty()
