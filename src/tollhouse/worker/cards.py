"""Looking at the cards of subscriptions, batch after batch."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from tollhouse.billing.renewals.check_card import check_card, lease_due_cards
from tollhouse.worker.run import do_batches, try_one

if TYPE_CHECKING:
    from tollhouse.billing.dependencies import BillingDependencies
    from tollhouse.billing.model import SubscriptionContext

BATCH = 50


async def check_due_cards(biller: BillingDependencies) -> int:
    """Look at the cards that are due, and return of how many subscriptions."""
    return await do_batches(partial(check_card_batch, biller), size=BATCH)


async def check_card_batch(biller: BillingDependencies) -> int:
    """Look at one batch of the cards that are due, and return of how many subscriptions."""
    due = await lease_due_cards(biller, limit=BATCH)
    await asyncio.gather(*(_check_one(biller, case) for case in due))
    return len(due)


async def _check_one(biller: BillingDependencies, case: SubscriptionContext) -> None:
    subscription_id = case.subscription.subscription_id
    await try_one("card not checked", check_card(biller, case), subscription_id=subscription_id)
