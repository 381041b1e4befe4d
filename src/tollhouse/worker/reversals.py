"""Reverse references that were finished without a response of the acquirer, and query them later."""

from __future__ import annotations

from functools import partial

from tollhouse.payments.dependencies import AttemptDependencies
from tollhouse.payments.reversals import DueReversal, lease_due_reversals, process_reversal
from tollhouse.worker.queue import LeasedQueue, Work, lease_up_to

#: References that are processed at a time, and the life of their leases: a call and its write fit in.
MAX_UNDER_WAY = 50
LEASE_SECONDS = 30.0
IDLE_SECONDS = 1.0


def build_reversal_work(deps: AttemptDependencies) -> Work[DueReversal]:
    """Build the queue of references that are due for a reversal or an inquiry."""
    return Work(
        "reverse references",
        lease=lease_up_to(MAX_UNDER_WAY, partial(lease_due_reversals, deps, lease_seconds=LEASE_SECONDS)),
        handle=partial(process_reversal, deps),
        describe=lambda due: {"transaction_id": due.transaction_id},
        idle_seconds=IDLE_SECONDS,
    )


async def reverse_due(deps: AttemptDependencies) -> int:
    """Process due references, and return their number."""
    return await LeasedQueue(build_reversal_work(deps)).empty()
