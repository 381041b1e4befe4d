"""Resolving: payments whose outcome is open are taken in turn and asked about."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from tollhouse.kernel.errors import TollhouseError
from tollhouse.payments.reconcile import lease_due, reconcile

if TYPE_CHECKING:
    from tollhouse.payments.tools import Tools

#: Attempts that are asked about at a time, and for how long nobody else takes them: an inquiry, a reversal and the
#: write fit in. A process that dies in between delays its attempts by that much; two that ask about one do no harm.
BATCH = 50
LEASE_SECONDS = 30.0

log = structlog.get_logger()


async def resolve_due(tools: Tools) -> int:
    """Resolve what is due, batch after batch, and return how many attempts were looked at."""
    total = 0
    while True:
        due = await lease_due(tools, limit=BATCH, lease_seconds=LEASE_SECONDS)
        await asyncio.gather(*(_resolve_one(tools, merchant_id, transaction_id) for merchant_id, transaction_id in due))
        total += len(due)
        if len(due) < BATCH:
            return total


async def _resolve_one(tools: Tools, merchant_id: int, transaction_id: int) -> None:
    """Resolve one; what goes wrong with it is no other one's matter, and its lease brings it back."""
    try:
        await reconcile(tools, merchant_id=merchant_id, transaction_id=transaction_id)
    except TollhouseError as error:
        log.warning("outcome still open", transaction_id=transaction_id, error=type(error).__name__)
