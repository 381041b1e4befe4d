"""Keeping authorizations: what is due to be captured is captured, and what nobody captured in time is released."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from tollhouse.kernel.errors import TollhouseError
from tollhouse.payments.holds import DueHold, keep_hold, lease_due_holds

if TYPE_CHECKING:
    from tollhouse.payments.tools import Tools

#: Authorizations that are looked at at a time, and for how long nobody else takes them: an answer in time and the
#: writes fit in. A process that dies in between delays its holds by that much.
BATCH = 50
LEASE_SECONDS = 60.0

log = structlog.get_logger()


async def keep_due_holds(tools: Tools) -> int:
    """Capture and release what is due, batch after batch, and return how many authorizations were looked at."""
    total = 0
    while True:
        due = await lease_due_holds(tools, limit=BATCH, lease_seconds=LEASE_SECONDS)
        await asyncio.gather(*(_keep_one(tools, hold) for hold in due))
        total += len(due)
        if len(due) < BATCH:
            return total


async def _keep_one(tools: Tools, hold: DueHold) -> None:
    """Keep one; what goes wrong with it is no other one's matter, and its lease brings it back."""
    try:
        await keep_hold(tools, hold)
    except TollhouseError as error:
        log.warning("hold still due", transaction_id=hold.transaction_id, error=type(error).__name__)
