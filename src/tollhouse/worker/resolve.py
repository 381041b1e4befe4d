"""Query acquirers about due attempts with unknown outcomes."""

from __future__ import annotations

from functools import partial

from tollhouse.payments.dependencies import AttemptDependencies
from tollhouse.payments.resolve.resolve_attempts import lease_due, resolve_attempt
from tollhouse.worker.queue import LeasedQueue, Work, lease_up_to

#: Attempts that are resolved at a time, and the life of their leases: an inquiry, a reversal and the write fit in. A
#: process that dies delays its attempts by that much; two inquiries about one attempt are harmless.
MAX_UNDER_WAY = 50
LEASE_SECONDS = 30.0
IDLE_SECONDS = 1.0


def build_resolve_work(deps: AttemptDependencies) -> Work[tuple[int, int]]:
    """Build the queue of attempts with unknown outcomes, as (merchant, transaction)."""

    async def handle(due: tuple[int, int]) -> None:
        merchant_id, transaction_id = due
        await resolve_attempt(deps, merchant_id=merchant_id, transaction_id=transaction_id)

    return Work(
        "resolve outcomes",
        lease=lease_up_to(MAX_UNDER_WAY, partial(lease_due, deps, lease_seconds=LEASE_SECONDS)),
        handle=handle,
        describe=lambda due: {"transaction_id": due[1]},
        idle_seconds=IDLE_SECONDS,
    )


async def resolve_due(deps: AttemptDependencies) -> int:
    """Resolve due attempts, and return their number."""
    return await LeasedQueue(build_resolve_work(deps)).empty()
