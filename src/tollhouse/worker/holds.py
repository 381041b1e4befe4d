"""Keeping authorizations: what is due to be captured is captured, and what nobody captured in time is released."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from tollhouse.payments.operations.holds import lease_due_holds, process_due_hold
from tollhouse.worker.run import do_batches, try_one

if TYPE_CHECKING:
    from tollhouse.payments.dependencies import OperationDependencies

#: Authorizations that are looked at at a time, and for how long nobody else takes them: an answer in time and the
#: writes fit in. A process that dies in between delays its holds by that much.
BATCH = 50
LEASE_SECONDS = 60.0


async def keep_due_holds(deps: OperationDependencies) -> int:
    """Capture and release what is due, batch after batch, and return how many authorizations were looked at."""
    return await do_batches(partial(keep_hold_batch, deps), size=BATCH)


async def keep_hold_batch(deps: OperationDependencies) -> int:
    """Capture and release one batch of what is due, and return how many authorizations were looked at."""
    due = await lease_due_holds(deps, limit=BATCH, lease_seconds=LEASE_SECONDS)
    await asyncio.gather(
        *(try_one("hold still due", process_due_hold(deps, hold), transaction_id=hold.transaction_id) for hold in due)
    )
    return len(due)
