"""Voiding: releasing what an authorization holds, undoing a sale or a capture, or giving up an open payment.

A payment whose outcome is open has nothing yet that a void could act on. It is taken back itself: from `reversing` on
the acquirer's own answer counts no more, and the payment ends as `fail` 1041. One that waits for its cardholder was
not sent at all and is abandoned.
"""

from __future__ import annotations

from msgspec.structs import replace

from tollhouse.kernel.errors import RequestInProgress
from tollhouse.kernel.requests import Reply
from tollhouse.payments.authentication.resume import abandon
from tollhouse.payments.authorize import resolve_seconds
from tollhouse.payments.dependencies import OperationDependencies, VoidDependencies
from tollhouse.payments.finish import load_stored_response
from tollhouse.payments.idempotency import recall_claim, run_once
from tollhouse.payments.model import AttemptState, Payment, Status
from tollhouse.payments.operations.balance import judge_release, judge_void
from tollhouse.payments.operations.operate import (
    OperationRequest,
    claim_idempotency_key,
    load_named,
    operate,
    recall_reply,
)
from tollhouse.payments.operations.store import lock_position, update_reversing
from tollhouse.payments.resolve.resolve_attempts import resolve_attempt
from tollhouse.payments.work import RunningRequest
from tollhouse.storage.database import PlainConnection
from tollhouse.threeds.store import select_newest

#: How often a payment is looked at that its cardholder moves on in the same moments.
TRIES = 3

ALREADY_FINISHED = "This payment has got its outcome in the same moment; repeat this request."


async def void(deps: VoidDependencies, wish: OperationRequest) -> Reply:
    """Undo a payment; the answer is the void, or the payment itself if that was still open.

    Raises what `operate` raises.
    """
    for _ in range(TRIES):
        named = await load_named(deps.operations.database, wish)
        if not (named.mode.is_first and named.status is Status.PENDING):
            return await operate(deps.operations, wish, judge_void)
        if named.attempt.state is not AttemptState.CHALLENGED:
            return await run_once(deps.operations.requests, wish.claim, _take_back, deps, wish, named)
        if await _abandon(deps, named):
            return await run_once(deps.operations.requests, wish.claim, _answer_abandoned, deps, wish, named)
    raise RequestInProgress(ALREADY_FINISHED)


async def release(deps: OperationDependencies, wish: OperationRequest) -> Reply:
    """Release what an authorization holds, unless it was captured meanwhile. Raises what `operate` raises."""
    return await operate(deps, wish, judge_release)


async def _take_back(work: RunningRequest, deps: VoidDependencies, wish: OperationRequest, named: Payment) -> Reply:
    """Commit that an open payment is taken back, and answer by what becomes of it."""
    async with deps.operations.database.transaction() as connection:
        is_new = await claim_idempotency_key(connection, wish, named, transaction_id=named.transaction_id)
        if is_new and not await _begin_reversing(deps, connection, named):
            raise RequestInProgress(ALREADY_FINISHED)
    if not is_new:
        return await recall_reply(deps.operations.requests, wish)
    work.note_begun(named)
    return await _reverse(deps, wish, named)


async def _begin_reversing(deps: VoidDependencies, connection: PlainConnection, named: Payment) -> bool:
    """Let the acquirer's answer count no more; False when it was faster."""
    first = (await lock_position(connection, named)).first
    if first.state is AttemptState.REVERSING:
        return True
    seconds = resolve_seconds(deps.operations.attempts, first.acquirer or "")
    return await update_reversing(connection, named.merchant_id, first, resolve_seconds=seconds)


async def _reverse(deps: VoidDependencies, wish: OperationRequest, named: Payment) -> Reply:
    """Have the acquirer reverse it; the resolver goes on with it where that is not acknowledged."""
    await resolve_attempt(deps.operations.attempts, merchant_id=named.merchant_id, transaction_id=named.transaction_id)
    return await _answer_by_payment(deps, wish, named)


async def _abandon(deps: VoidDependencies, named: Payment) -> bool:
    """End the challenge that a payment waits for, and the payment with it; False when the cardholder was faster."""
    async with deps.operations.database.acquire() as connection:
        authentication = await select_newest(
            connection, merchant_id=named.merchant_id, transaction_id=named.transaction_id
        )
    return authentication is not None and await abandon(deps.authentication, authentication)


async def _answer_abandoned(_: RunningRequest, deps: VoidDependencies, wish: OperationRequest, named: Payment) -> Reply:
    """Answer by the payment that was abandoned."""
    async with deps.operations.database.transaction() as connection:
        is_new = await claim_idempotency_key(connection, wish, named, transaction_id=named.transaction_id)
    return await _answer_by_payment(deps, wish, named) if is_new else await recall_reply(deps.operations.requests, wish)


async def _answer_by_payment(deps: VoidDependencies, wish: OperationRequest, named: Payment) -> Reply:
    """Answer by the payment itself; whoever waits for it too may have recorded an answer for both of us before."""
    reply = await load_stored_response(deps.authentication.finish, named)
    recorded = await recall_claim(deps.operations.requests, wish.claim) if wish.claim else None
    return replace(recorded, is_replay=False) if recorded else reply
