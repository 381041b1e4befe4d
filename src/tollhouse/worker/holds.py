"""Capture authorizations that are due, and release those that were not captured in time."""

from __future__ import annotations

from functools import partial

from tollhouse.payments.dependencies import OperationDependencies
from tollhouse.payments.operations.holds import DueHold, lease_due_holds, process_due_hold
from tollhouse.worker.queue import LeasedQueue, Work, lease_up_to

#: Holds that are processed at a time, and the life of their leases: an acquirer call and its writes fit in. A process
#: that dies delays its holds by that much.
MAX_UNDER_WAY = 50
LEASE_SECONDS = 60.0
IDLE_SECONDS = 1.0


def build_hold_work(deps: OperationDependencies) -> Work[DueHold]:
    """Build the queue of due holds."""
    return Work(
        "keep authorizations",
        lease=lease_up_to(MAX_UNDER_WAY, partial(lease_due_holds, deps, lease_seconds=LEASE_SECONDS)),
        handle=partial(process_due_hold, deps),
        describe=lambda hold: {"transaction_id": hold.transaction_id},
        idle_seconds=IDLE_SECONDS,
    )


async def keep_due_holds(deps: OperationDependencies) -> int:
    """Process due holds, and return their number."""
    return await LeasedQueue(build_hold_work(deps)).empty()
