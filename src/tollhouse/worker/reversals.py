"""Reverse references that were settled without the acquirer's answer, and ask about them later, batch by batch."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from tollhouse.payments.reversals import lease_due_reversals, process_reversal
from tollhouse.worker.run import do_batches, try_one

if TYPE_CHECKING:
    from tollhouse.payments.dependencies import AttemptDependencies

#: References that are worked on at a time, and for how long nobody else takes them: a call and its write fit in.
BATCH = 50
LEASE_SECONDS = 30.0


async def reverse_due(deps: AttemptDependencies) -> int:
    """Reverse what is due, batch after batch, and return how many references were looked at."""
    return await do_batches(partial(reverse_batch, deps), size=BATCH)


async def reverse_batch(deps: AttemptDependencies) -> int:
    """Reverse one batch of what is due, and return how many references were looked at."""
    due = await lease_due_reversals(deps, limit=BATCH, lease_seconds=LEASE_SECONDS)
    await asyncio.gather(
        *(try_one("reversal.postponed", process_reversal(deps, one), transaction_id=one.transaction_id) for one in due)
    )
    return len(due)
