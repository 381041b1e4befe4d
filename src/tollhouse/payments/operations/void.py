"""Void an authorization, a sale or a capture, or cancel an open payment.

A payment with an open outcome has no transaction that could be voided. Its attempt is reversed: from `reversing` on the
acquirer's response is ignored, and the payment ends as `fail` 1041. A payment with an open challenge was not sent and
is abandoned.
"""

from __future__ import annotations

from msgspec.structs import replace

from tollhouse.idempotency.running import RunningRequest
from tollhouse.idempotency.store import claim_request
from tollhouse.kernel.errors import RequestInProgress
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.payments.authentication.resume import abandon
from tollhouse.payments.authorize import resolve_seconds
from tollhouse.payments.dependencies import OperationDependencies, VoidDependencies
from tollhouse.payments.finish import load_stored_response
from tollhouse.payments.idempotency import replay_claim, run_once
from tollhouse.payments.model import AttemptState, Payment, Status
from tollhouse.payments.operations.balance import decide_release, decide_void
from tollhouse.payments.operations.operate import OperationRequest, load_named, operate, replay_response
from tollhouse.payments.operations.store import lock_balance, update_reversing
from tollhouse.payments.resolve.resolve_attempts import resolve_attempt
from tollhouse.storage.database import PlainConnection
from tollhouse.threeds.store import select_newest

#: Reads of a payment that its cardholder changes at the same time.
MAX_READS = 3

ALREADY_FINISHED = "This payment was finished at the same time. Retry the request."


async def void(deps: VoidDependencies, request: OperationRequest) -> RenderedResponse:
    """Void a payment; return the void, or the payment itself if it was still open.

    Raises as `operate` does.
    """
    for _ in range(MAX_READS):
        named = await load_named(deps.operations.database, request)
        if not (named.mode.is_first and named.status is Status.PENDING):
            return await operate(deps.operations, request, decide_void)
        if named.attempt.state is not AttemptState.CHALLENGED:
            return await run_once(deps.operations.requests, request.claim, _reverse_open_payment, deps, request, named)
        if await _abandon(deps, named):
            return await run_once(deps.operations.requests, request.claim, _respond_abandoned, deps, request, named)
    raise RequestInProgress(ALREADY_FINISHED)


async def release(deps: OperationDependencies, request: OperationRequest) -> RenderedResponse:
    """Release an authorization, unless it was captured meanwhile. Raises as `operate` does."""
    return await operate(deps, request, decide_release)


async def _reverse_open_payment(
    work: RunningRequest, deps: VoidDependencies, request: OperationRequest, named: Payment
) -> RenderedResponse:
    """Commit that an open payment is reversed, and return its response."""
    async with deps.operations.database.transaction() as connection:
        is_new = await _claim(connection, request, named)
        if is_new and not await _begin_reversing(deps, connection, named):
            raise RequestInProgress(ALREADY_FINISHED)
    if not is_new:
        return await replay_response(deps.operations.requests, request)
    work.note_begun(named)
    return await _reverse(deps, request, named)


async def _claim(connection: PlainConnection, request: OperationRequest, named: Payment) -> bool:
    """Claim the key of a void that leads to the open payment itself; False if it was claimed before."""
    return await claim_request(
        connection, request.claim, payment_id=named.payment_id, transaction_id=named.transaction_id
    )


async def _begin_reversing(deps: VoidDependencies, connection: PlainConnection, named: Payment) -> bool:
    """Put the attempt into `reversing`; False if it was finished first."""
    first = (await lock_balance(connection, named)).first
    if first.state is AttemptState.REVERSING:
        return True
    seconds = resolve_seconds(deps.operations.attempts, first.acquirer or "")
    return await update_reversing(connection, named.merchant_id, first, resolve_seconds=seconds)


async def _reverse(deps: VoidDependencies, request: OperationRequest, named: Payment) -> RenderedResponse:
    """Ask the acquirer to reverse the attempt; the resolver continues if it does not acknowledge that."""
    await resolve_attempt(deps.operations.attempts, merchant_id=named.merchant_id, transaction_id=named.transaction_id)
    return await _respond_with_payment(deps, request, named)


async def _abandon(deps: VoidDependencies, named: Payment) -> bool:
    """End the open challenge of a payment, and the payment; False if the challenge was decided first."""
    async with deps.operations.database.acquire() as connection:
        authentication = await select_newest(
            connection, merchant_id=named.merchant_id, transaction_id=named.transaction_id
        )
    return authentication is not None and await abandon(deps.authentication, authentication)


async def _respond_abandoned(
    _: RunningRequest, deps: VoidDependencies, request: OperationRequest, named: Payment
) -> RenderedResponse:
    """Return the response of the abandoned payment."""
    async with deps.operations.database.transaction() as connection:
        is_new = await _claim(connection, request, named)
    return (
        await _respond_with_payment(deps, request, named)
        if is_new
        else await replay_response(deps.operations.requests, request)
    )


async def _respond_with_payment(deps: VoidDependencies, request: OperationRequest, named: Payment) -> RenderedResponse:
    """Return the response of the payment. A concurrent request may have recorded it for both of us."""
    rendered = await load_stored_response(deps.authentication.finish, named)
    recorded = await replay_claim(deps.operations.requests, request.claim)
    return replace(recorded, is_replay=False) if recorded else rendered
