"""Run operations on a payment: captures, voids and refunds.

    operate ──> begin (durable) ──> ask the acquirer ──> finish (durable)

Each is a transaction of the same payment with a reference of its own. Each locks the payment when it begins, so that of
two at once the second sees the first, and together they never exceed the amount. The resolver finishes an operation
with an unknown outcome, as it does for payments; meanwhile no other reference is sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from msgspec.structs import replace

from tollhouse.acquirers.model import Acquirer, AcquirerOperation, Answer
from tollhouse.idempotency.model import Claim
from tollhouse.idempotency.running import RunningRequest
from tollhouse.idempotency.store import claim_request
from tollhouse.kernel.errors import DatabaseUnavailable, NotFound, Unavailable
from tollhouse.kernel.faults import Subject, reject
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.payments import lifecycle
from tollhouse.payments.authorize import resolve_seconds
from tollhouse.payments.dependencies import OperationDependencies, RequestDependencies
from tollhouse.payments.finish import finish_attempt
from tollhouse.payments.idempotency import replay_claim, run_once
from tollhouse.payments.model import Attempt, AttemptState, Cause, Mode, OriginalTransaction, Payment, Status
from tollhouse.payments.operations.balance import (
    ALL,
    AllowedOperation,
    PaymentBalance,
    RequestedAmount,
    decide_capture,
    decide_refund,
)
from tollhouse.payments.operations.store import insert_operation, lock_balance
from tollhouse.payments.store import select_payment
from tollhouse.storage.database import Database, PlainConnection

#: Decides whether the operation is allowed, while the payment is locked. Raises RequestRejected and RequestInProgress.
Decide = Callable[[PaymentBalance], AllowedOperation]

NO_OPERATION_ON = {
    Mode.VOID: "is a void; send the transaction ID of its payment",
    Mode.CREDIT: "is a refund; send the transaction ID of its payment",
    Mode.CHARGEBACK: "is a chargeback; send the transaction ID of its payment",
}


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """A requested operation. `transaction_id` is that of the authorization, the sale or its capture."""

    merchant_id: int
    transaction_id: int
    request_id: str
    mode: Mode
    claim: Claim | None = None
    cause: Cause = Cause.REQUEST
    #: The reason, as the merchant gave it.
    reason: str | None = None
    emulate_code: str | None = None


async def operate(deps: OperationDependencies, request: OperationRequest, decide: Decide) -> RenderedResponse:
    """Run an operation and return the response; a repeated request gets the first response.

    Raises NotFound, RequestRejected and RequestInProgress by the state of the payment, RequestIdReused and Unavailable.
    After Unavailable the operation may have begun or not; a repeat with the same idempotency key finds out.
    """
    return await run_once(deps.requests, request.claim, _carry_out, deps, request, decide)


async def load_named(database: Database, request: OperationRequest) -> Payment:
    """Return the payment to operate on. Raises NotFound, and RequestRejected for a transaction without operations."""
    async with database.acquire() as connection:
        named = await select_payment(connection, merchant_id=request.merchant_id, transaction_id=request.transaction_id)
    if named is None:
        raise NotFound("Transaction not found.")
    if named.mode in NO_OPERATION_ON:
        raise reject(Subject.TRANSACTION, NO_OPERATION_ON[named.mode])
    return named


async def _carry_out(
    work: RunningRequest, deps: OperationDependencies, request: OperationRequest, decide: Decide
) -> RenderedResponse:
    """Commit the operation, then call the acquirer; or return the response of the earlier request."""
    named = await load_named(deps.database, request)
    transaction_id = await deps.numbers.next_number()
    begun = None
    try:
        async with deps.database.transaction() as connection:
            if await claim_request(
                connection, request.claim, payment_id=named.payment_id, transaction_id=transaction_id
            ):
                allowed = decide(await lock_balance(connection, named))
                begun = _build_operation(deps, request, named, allowed, transaction_id=transaction_id), allowed
                await _insert(deps, connection, begun[0])
    except DatabaseUnavailable:
        if begun is None or not await is_committed(deps.database, begun[0]):
            raise
    if begun is None:
        return await replay_response(deps.requests, request)
    work.note_begun(begun[0])
    return await _execute(deps, *begun)


async def _insert(deps: OperationDependencies, connection: PlainConnection, operation: Payment) -> None:
    seconds = resolve_seconds(deps.attempts, operation.attempt.acquirer)
    await insert_operation(connection, operation, resolve_seconds=seconds)


async def is_committed(database: Database, operation: Payment) -> bool:
    """Return whether a COMMIT succeeded whose response was lost."""
    async with database.acquire() as connection:
        stored = await select_payment(
            connection, merchant_id=operation.merchant_id, transaction_id=operation.transaction_id
        )
    return stored is not None


async def replay_response(requests: RequestDependencies, request: OperationRequest) -> RenderedResponse:
    """Return the response of the request that claimed the key. Raises RequestIdReused and RequestInProgress."""
    rendered = await replay_claim(requests, request.claim)
    if rendered is None:
        raise Unavailable
    return rendered


def _build_operation(
    deps: OperationDependencies,
    request: OperationRequest,
    named: Payment,
    allowed: AllowedOperation,
    *,
    transaction_id: int,
) -> Payment:
    """Build the transaction. Only the acquirer of the original transaction can act on it."""
    now, acquirer = deps.attempts.clock.now(), allowed.basis.acquirer or ""
    if acquirer not in deps.attempts.acquirers:
        raise Unavailable("The acquirer of this payment is unavailable. Retry later.")
    attempt = Attempt(
        number=1,
        acquirer=acquirer,
        reference=lifecycle.name_attempt(transaction_id, 1),
        state=AttemptState.IN_FLIGHT,
        card=None,
        fingerprint=b"",
        sent_at=now,
        send_before=deps.attempts.timeouts.send_before(),
    )
    created_at = now + deps.attempts.clock.offset_of(request.merchant_id)
    return build_further(named, request, allowed, transaction_id=transaction_id, attempt=attempt, now=created_at)


def build_further(
    named: Payment,
    request: OperationRequest,
    allowed: AllowedOperation,
    *,
    transaction_id: int,
    attempt: Attempt,
    now: datetime,
) -> Payment:
    """Build a further transaction of a payment, open, without the fields of the named one alone."""
    return replace(
        named,
        transaction_id=transaction_id,
        mode=allowed.mode or request.mode,
        status=Status.PENDING,
        money=allowed.money,
        request_id=request.request_id,
        initiator="merchant",
        reason="unscheduled",
        created_at=now,
        attempt=attempt,
        code=None,
        network_transaction_id=None,
        finished_at=None,
        subscribing=(),
        renewing=None,
        changing=None,
        subscription_summaries=(),
        double_click_digest=None,
        page_try=None,
        holding=None,
        emulate_code=request.emulate_code,
        basis=OriginalTransaction(
            allowed.basis.transaction_id, allowed.basis.mode, allowed.basis.amount_minor, request.cause, request.reason
        ),
        dispute=allowed.dispute,
        rendered=b"",
    )


async def _execute(deps: OperationDependencies, operation: Payment, allowed: AllowedOperation) -> RenderedResponse:
    """Call the acquirer, with no database connection held, and finish the operation."""
    acquirer = deps.attempts.acquirers[operation.attempt.acquirer]
    outcome = await _choose_verb(acquirer, operation.mode)(
        AcquirerOperation(
            reference=operation.attempt.reference,
            original_reference=allowed.basis.reference or "",
            money=operation.money,
            transacted_at=operation.created_at,
            emulate_code=operation.emulate_code,
            send_before=operation.attempt.send_before,
        )
    )
    return await finish_attempt(
        deps.attempts.finish,
        operation,
        lifecycle.apply(operation, outcome, deps.attempts.clock.now_of(operation.merchant_id)),
    )


def _choose_verb(acquirer: Acquirer, mode: Mode) -> Callable[[AcquirerOperation], Awaitable[Answer]]:
    verbs = {Mode.CAPTURE: acquirer.capture, Mode.VOID: acquirer.void, Mode.CREDIT: acquirer.credit}
    return verbs[mode]


async def capture(
    deps: OperationDependencies, request: OperationRequest, requested: RequestedAmount = ALL
) -> RenderedResponse:
    """Capture an authorization, all of it unless an amount is given. Raises as `operate` does."""
    return await operate(deps, request, partial(decide_capture, requested=requested))


async def credit(
    deps: OperationDependencies, request: OperationRequest, requested: RequestedAmount = ALL
) -> RenderedResponse:
    """Refund a sale or a capture, all that is left unless an amount is given; void an authorization as a whole.

    Raises as `operate` does.
    """
    return await operate(deps, request, partial(decide_refund, requested=requested))
