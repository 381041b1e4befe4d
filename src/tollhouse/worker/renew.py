"""Renewing: subscriptions with which there is something to do are taken as long as there are any."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from tollhouse.billing.renew import Due, lease_due, load_due, renew
from tollhouse.kernel.errors import TollhouseError

if TYPE_CHECKING:
    from tollhouse.billing.tools import Biller

#: Charges under way at a time, and how many subscriptions are taken in one look. What is under way shares the two
#: durable steps with all other payments, so more would only make these wait.
MOST_UNDER_WAY = 128
BATCH = 64
#: While all that is under way is slow.
LOOK_AGAIN_SECONDS = 1.0

log = structlog.get_logger()


async def renew_due(biller: Biller) -> int:
    """Renew what is due, and return how many subscriptions were looked at.

    Whoever answers late keeps one place and no more: others are taken meanwhile.
    """
    total = 0
    under_way: set[asyncio.Task[None]] = set()
    try:
        while True:
            cases = await lease_due(biller, limit=min(BATCH, MOST_UNDER_WAY - len(under_way)))
            total += len(cases)
            dues = await load_due(biller, cases) if cases else []
            under_way |= {asyncio.create_task(_renew_one(biller, due), name="renew") for due in dues}
            if not cases and not under_way:
                return total
            if not cases or len(under_way) >= MOST_UNDER_WAY:
                _, under_way = await asyncio.wait(
                    under_way, timeout=LOOK_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
    finally:
        if under_way:  # the charges themselves go on (`payments.tools.Running`)
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)


async def _renew_one(biller: Biller, due: Due) -> None:
    """Renew one; what goes wrong with it is no other one's matter, and its lease brings it back."""
    try:
        await renew(biller, due)
    except TollhouseError as error:
        subscription_id = due.case.subscription.subscription_id
        log.warning("renewal still due", subscription_id=subscription_id, error=type(error).__name__)
