"""Resolving: payments whose outcome is open are taken in turn and asked about."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from tollhouse.payments.resolve.resolve_attempts import lease_due, resolve_attempt
from tollhouse.worker.run import do_batches, try_one

if TYPE_CHECKING:
    from tollhouse.payments.dependencies import AttemptDependencies

#: Attempts that are asked about at a time, and for how long nobody else takes them: an inquiry, a reversal and the
#: write fit in. A process that dies in between delays its attempts by that much; two that ask about one do no harm.
BATCH = 50
LEASE_SECONDS = 30.0


async def resolve_due(deps: AttemptDependencies) -> int:
    """Resolve what is due, batch after batch, and return how many attempts were looked at."""
    return await do_batches(partial(resolve_batch, deps), size=BATCH)


async def resolve_batch(deps: AttemptDependencies) -> int:
    """Resolve one batch of what is due, and return how many attempts were looked at."""
    due = await lease_due(deps, limit=BATCH, lease_seconds=LEASE_SECONDS)
    await asyncio.gather(*(_resolve_one(deps, merchant_id, transaction_id) for merchant_id, transaction_id in due))
    return len(due)


async def _resolve_one(deps: AttemptDependencies, merchant_id: int, transaction_id: int) -> None:
    work = resolve_attempt(deps, merchant_id=merchant_id, transaction_id=transaction_id)
    await try_one("outcome still open", work, transaction_id=transaction_id)
