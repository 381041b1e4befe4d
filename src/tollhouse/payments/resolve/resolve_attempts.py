"""Resolve attempts with unknown outcomes.

The process may have died before it saved the response, or no response arrived. Query the acquirer by the saved
reference. Never send a new attempt while this one is open.
"""

from __future__ import annotations

from datetime import datetime

import structlog

from tollhouse.acquirers.model import Acquirer, Approved, Declined, Finding, ReferenceUnknown, Reversed
from tollhouse.kernel import codes
from tollhouse.payments import lifecycle
from tollhouse.payments.authorize import reverse_partial_approval
from tollhouse.payments.dependencies import AttemptDependencies
from tollhouse.payments.finish import finish_attempt
from tollhouse.payments.model import AttemptState, Payment
from tollhouse.payments.reversals import LATER_INQUIRY_INTERVAL_SECONDS, choose_inquiry_interval
from tollhouse.payments.routing import NO_ACQUIRER
from tollhouse.payments.steps import FinishRecord
from tollhouse.payments.store import queries, select_payment
from tollhouse.storage.database import PlainConnection

log = structlog.get_logger()


async def lease_due(deps: AttemptDependencies, *, limit: int, lease_seconds: float) -> list[tuple[int, int]]:
    """Lease due attempts, as (merchant, transaction). No other process gets them before the lease ends."""
    async with deps.database.transaction() as connection:
        rows = queries.lease_due_attempts(connection, limit=limit, lease_seconds=lease_seconds)
        due = [tuple(row) async for row in rows]
    for merchant_id, _, offset in due:
        deps.clock.observe_offset(merchant_id, offset)
    return [(merchant_id, transaction_id) for merchant_id, transaction_id, _ in due]


async def select_attempts_busy(connection: PlainConnection, merchant_id: int, *, sent_by: datetime) -> bool:
    """Return whether an acquirer is being called for a merchant, or is about to be queried for the first time.

    Only attempts sent by a real time count. Later inquiries may stay open for long and are not waited for.
    """
    return bool(await queries.select_attempts_busy(connection, merchant_id=merchant_id, sent_by=sent_by))


async def resolve_attempt(deps: AttemptDependencies, *, merchant_id: int, transaction_id: int) -> None:
    """Query the acquirer about an open attempt; finish it, or postpone it."""
    async with deps.database.acquire() as connection:
        payment = await select_payment(connection, merchant_id=merchant_id, transaction_id=transaction_id)
    if payment is None or payment.attempt.state.is_final:
        return
    if payment.attempt.state is AttemptState.CHALLENGED:
        await _postpone(
            deps, payment, LATER_INQUIRY_INTERVAL_SECONDS
        )  # its authentication decides, and has a sweep of its own
        return
    if payment.attempt.acquirer == NO_ACQUIRER:
        await finish_attempt(
            deps.finish, payment, lifecycle.fail(payment, codes.NO_ROUTE, deps.clock.now_of(payment.merchant_id))
        )
        return
    acquirer = deps.acquirers.get(payment.attempt.acquirer)
    if acquirer is None:  # the money may have been taken: only this acquirer knows
        log.error("acquirer.not_configured", acquirer=payment.attempt.acquirer, transaction_id=transaction_id)
        await _postpone(deps, payment, LATER_INQUIRY_INTERVAL_SECONDS)
        return
    finding = await _inquire(deps, acquirer, payment)
    is_reversing = payment.attempt.state is AttemptState.REVERSING
    if finding is None and (is_reversing or _is_to_be_reversed(deps, acquirer, payment)):
        await _reverse(deps, acquirer, payment)
    else:
        await _finish_or_postpone(deps, payment, finding)


async def _finish_or_postpone(deps: AttemptDependencies, payment: Payment, finding: Finding | None) -> None:
    """Finish an attempt whose outcome is certain; postpone any other."""
    log.info(
        "attempt.inquired",
        transaction_id=payment.transaction_id,
        request_id=payment.request_id,
        finding=type(finding).__name__.lower(),
        inquiries=payment.attempt.inquiries + 1,
    )
    if finding is not None:
        await finish_attempt(
            deps.finish, payment, lifecycle.apply(payment, finding, deps.clock.now_of(payment.merchant_id))
        )
    else:
        await _postpone(deps, payment, choose_inquiry_interval(payment.attempt.inquiries), was_asked=True)


async def _inquire(
    deps: AttemptDependencies, acquirer: Acquirer, payment: Payment
) -> Approved | Declined | Reversed | ReferenceUnknown | None:
    """Return the certain outcome of an attempt, or None if it is not certain yet or cannot be queried."""
    if payment.attempt.state is AttemptState.REVERSING or acquirer.resolves_by != "inquire":
        return None
    reference, money = payment.attempt.reference, payment.money
    finding = await reverse_partial_approval(acquirer, reference, money, await acquirer.inquire(reference, money))
    if isinstance(finding, ReferenceUnknown):
        surely_arrived = deps.timeouts.margin + acquirer.longest_delay_seconds
        return finding if _age_seconds(deps, payment) > surely_arrived else None
    return finding if isinstance(finding, Approved | Declined | Reversed) else None


def _is_to_be_reversed(deps: AttemptDependencies, acquirer: Acquirer, payment: Payment) -> bool:
    """Return whether the attempt is reversed instead of being queried further."""
    return acquirer.resolves_by != "inquire" or _age_seconds(deps, payment) > deps.timeouts.reversal


def _age_seconds(deps: AttemptDependencies, payment: Payment) -> float:
    return (deps.clock.now() - payment.attempt.sent_at).total_seconds()


async def _reverse(deps: AttemptDependencies, acquirer: Acquirer, payment: Payment) -> None:
    """Commit that an attempt is being reversed, ask the acquirer to do it, and finish it once acknowledged.

    From the commit on the acquirer's response to the request is ignored: otherwise an approval could be reported as a
    success that the reversal then cancels.
    """
    if payment.attempt.state is not AttemptState.REVERSING:
        reversing = lifecycle.set_attempt_state(payment, AttemptState.REVERSING)
        move = FinishRecord(reversing, expected=payment.attempt.state, resolve_seconds=choose_inquiry_interval(0))
        if not await deps.finish.write_queue.submit(move):
            return
        payment = reversing.with_attempt(inquiries=0)
    finding = await acquirer.reverse(payment.attempt.reference, payment.money)
    await _finish_or_postpone(deps, payment, finding if isinstance(finding, Reversed) else None)


async def _postpone(deps: AttemptDependencies, payment: Payment, seconds: float, *, was_asked: bool = False) -> None:
    async with deps.database.acquire() as connection:
        await queries.postpone_attempt(
            connection,
            merchant_id=payment.merchant_id,
            transaction_id=payment.transaction_id,
            number=payment.attempt.number,
            seconds=seconds,
            was_asked=was_asked,
        )
