"""Looking at the cards of subscriptions, batch after batch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from tollhouse.billing.check_card import check_card, lease_due_cards
from tollhouse.kernel.errors import TollhouseError

if TYPE_CHECKING:
    from tollhouse.billing.model import Case
    from tollhouse.billing.tools import Biller

BATCH = 50

log = structlog.get_logger()


async def check_due_cards(biller: Biller) -> int:
    """Look at the cards that are due, and return of how many subscriptions."""
    total = 0
    while True:
        due = await lease_due_cards(biller, limit=BATCH)
        await asyncio.gather(*(_check_one(biller, case) for case in due))
        total += len(due)
        if len(due) < BATCH:
            return total


async def _check_one(biller: Biller, case: Case) -> None:
    """Look at one; what goes wrong with it is no other one's matter, and it comes again after a pause."""
    try:
        await check_card(biller, case)
    except TollhouseError as error:
        subscription_id = case.subscription.subscription_id
        log.warning("card not checked", subscription_id=subscription_id, error=type(error).__name__)
