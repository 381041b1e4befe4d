"""The queues of payments: unknown outcomes, references to reverse, holds, disputes.

The acquirer calls of a piece and its writes fit in its lease. A process that dies delays its pieces by that much.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from tollhouse.kernel.errors import DatabaseUnavailable, Unavailable
from tollhouse.payments.dependencies import AttemptDependencies, DisputeDependencies, OperationDependencies
from tollhouse.payments.disputes.import_disputes import import_disputes
from tollhouse.payments.operations.holds import DueHold, lease_due_holds, process_due_hold
from tollhouse.payments.resolve.resolve_attempts import lease_due, resolve_attempt
from tollhouse.payments.reversals import DueReversal, lease_due_reversals, process_reversal
from tollhouse.worker.queue import LeasedQueue, Work, lease_up_to

#: Pieces of each kind that are processed at a time.
MAX_RUNNING_PIECES = 50
MAX_POLL_INTERVAL_SECONDS = 1.0
RESOLVE_LEASE_SECONDS = 30.0
REVERSAL_LEASE_SECONDS = 30.0
HOLD_LEASE_SECONDS = 60.0

log = structlog.get_logger()


def build_resolve_work(deps: AttemptDependencies) -> Work[tuple[int, int]]:
    """Build the queue of attempts with unknown outcomes, as (merchant, transaction). Two inquiries are harmless."""

    async def handle(due: tuple[int, int]) -> None:
        merchant_id, transaction_id = due
        await resolve_attempt(deps, merchant_id=merchant_id, transaction_id=transaction_id)

    return Work(
        "resolve outcomes",
        lease=lease_up_to(MAX_RUNNING_PIECES, partial(lease_due, deps, lease_seconds=RESOLVE_LEASE_SECONDS)),
        handle=handle,
        describe=lambda due: {"transaction_id": due[1]},
        idle_seconds=MAX_POLL_INTERVAL_SECONDS,
    )


def build_reversal_work(deps: AttemptDependencies) -> Work[DueReversal]:
    """Build the queue of references, finished without a response, that are due for a reversal or an inquiry."""
    return Work(
        "reverse references",
        lease=lease_up_to(MAX_RUNNING_PIECES, partial(lease_due_reversals, deps, lease_seconds=REVERSAL_LEASE_SECONDS)),
        handle=partial(process_reversal, deps),
        describe=lambda due: {"transaction_id": due.transaction_id},
        idle_seconds=MAX_POLL_INTERVAL_SECONDS,
    )


def build_hold_work(deps: OperationDependencies) -> Work[DueHold]:
    """Build the queue of due holds: authorizations to capture, or to void if they were not captured in time."""
    return Work(
        "keep authorizations",
        lease=lease_up_to(MAX_RUNNING_PIECES, partial(lease_due_holds, deps, lease_seconds=HOLD_LEASE_SECONDS)),
        handle=partial(process_due_hold, deps),
        describe=lambda hold: {"transaction_id": hold.transaction_id},
        idle_seconds=MAX_POLL_INTERVAL_SECONDS,
    )


async def resolve_due(deps: AttemptDependencies) -> int:
    """Resolve due attempts, and return their number."""
    return await LeasedQueue(build_resolve_work(deps)).empty()


async def process_due_holds(deps: OperationDependencies) -> int:
    """Process due holds, and return their number."""
    return await LeasedQueue(build_hold_work(deps)).empty()


async def import_all_disputes(deps: DisputeDependencies, *, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """Import due disputes, and return the number of chargebacks. An unavailable acquirer is queried next time."""
    try:
        return await import_disputes(deps, is_stopping=is_stopping)
    except DatabaseUnavailable:
        raise
    except Unavailable as error:
        log.warning("disputes.query_failed", cause=str(error))
        return 0
