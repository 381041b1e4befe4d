"""Renewing: subscriptions with which there is something to do are taken as long as there are any."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from tollhouse.billing.renewals.renew import Due, lease_due, load_due, renew
from tollhouse.worker.run import try_one

if TYPE_CHECKING:
    from tollhouse.billing.dependencies import BillingDependencies

#: Charges under way at a time, and how many subscriptions are taken in one look. What is under way shares the two
#: durable steps with all other payments, so more would only make these wait.
MAX_UNDER_WAY = 128
BATCH = 64
#: While all that is under way is slow.
LOOK_AGAIN_SECONDS = 1.0


async def renew_due(
    biller: BillingDependencies,
    *,
    is_stopping: Callable[[], bool] = lambda: False,
    beat: Callable[[], None] = lambda: None,
) -> int:
    """Renew what is due, and return how many subscriptions were looked at.

    Whoever answers late keeps one place and no more: others are taken meanwhile. `beat` is called at each look. When
    the process stops, nothing more is taken; what is under way goes on.
    """
    total = 0
    under_way: set[asyncio.Task[None]] = set()
    try:
        while True:
            beat()
            limit = 0 if is_stopping() else min(BATCH, MAX_UNDER_WAY - len(under_way))
            cases = await lease_due(biller, limit=limit) if limit else []
            total += len(cases)
            dues = await load_due(biller, cases) if cases else []
            under_way |= {asyncio.create_task(_renew_one(biller, due), name="renew") for due in dues}
            if not cases and not under_way:
                return total
            if not cases or len(under_way) >= MAX_UNDER_WAY:
                _, under_way = await asyncio.wait(
                    under_way, timeout=LOOK_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
    finally:
        if under_way:  # the charges themselves go on (`payments.work.Running`)
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)


async def _renew_one(biller: BillingDependencies, due: Due) -> None:
    subscription_id = due.case.subscription.subscription_id
    await try_one("renewal still due", renew(biller, due), subscription_id=subscription_id)
