"""Record chargebacks: the steps of a dispute between an issuer and a merchant.

No acquirer call is made because the issuer has already decided. A chargeback is always recorded and posted, also if it
exceeds the amount that is left. It is a transaction of the same payment, finished in the database transaction that
begins it, together with the rows of its finish hooks.
"""

from __future__ import annotations

import dataclasses
from functools import partial

from msgspec.structs import replace

from tollhouse.idempotency.running import RunningRequest
from tollhouse.idempotency.store import claim_request
from tollhouse.kernel import codes
from tollhouse.kernel.errors import DatabaseUnavailable
from tollhouse.kernel.money import Money
from tollhouse.kernel.rendered_response import CREATED, RenderedResponse
from tollhouse.payments.dependencies import ChargebackDependencies
from tollhouse.payments.dispute_steps import DisputeStep
from tollhouse.payments.idempotency import run_once
from tollhouse.payments.model import Cause, Payment, Status
from tollhouse.payments.operations.balance import (
    ALL,
    AllowedOperation,
    RequestedAmount,
    decide_chargeback,
    decide_dispute,
)
from tollhouse.payments.operations.operate import (
    Decide,
    OperationRequest,
    build_further,
    is_committed,
    load_named,
    replay_response,
)
from tollhouse.payments.operations.store import insert_chargeback, lock_balance
from tollhouse.payments.reading.view import render_response
from tollhouse.payments.records import build_placeholder_attempt
from tollhouse.payments.steps import FinishRecord
from tollhouse.payments.store import finish_payments
from tollhouse.storage.database import PlainConnection


async def record_chargeback(
    deps: ChargebackDependencies,
    request: OperationRequest,
    requested: RequestedAmount = ALL,
    step: DisputeStep = DisputeStep.FIRST,
) -> RenderedResponse:
    """Record a step of a dispute, about the amount that is left unless one is given.

    Returns the chargeback. Raises as `operate` does.
    """
    decide = partial(decide_chargeback, requested=requested, step=step)
    return await run_once(deps.requests, request.claim, _record, deps, request, decide)


async def record_dispute(deps: ChargebackDependencies, request: OperationRequest, money: Money) -> RenderedResponse:
    """Record an issuer's chargeback in full. Raises as `record_chargeback` does."""
    return await run_once(deps.requests, request.claim, _record, deps, request, partial(decide_dispute, money=money))


async def _record(
    _: RunningRequest, deps: ChargebackDependencies, request: OperationRequest, decide: Decide
) -> RenderedResponse:
    """Commit a chargeback with the rows of its finish hooks; or return the response of the earlier request."""
    named = await load_named(deps.database, request)
    transaction_id = await deps.numbers.next_number()
    chargeback = None
    try:
        async with deps.database.transaction() as connection:
            if await claim_request(
                connection, request.claim, payment_id=named.payment_id, transaction_id=transaction_id
            ):
                allowed = decide(await lock_balance(connection, named))
                chargeback = _build_chargeback(deps, request, named, allowed, transaction_id=transaction_id)
                await insert_chargeback(connection, chargeback)
                await _finish(deps, connection, chargeback)
    except DatabaseUnavailable:
        if chargeback is None or not await is_committed(deps.database, chargeback):
            raise
    if chargeback is None:
        return await replay_response(deps.requests, request)
    deps.finish.on_finished(chargeback)
    return RenderedResponse(CREATED, chargeback.rendered)


async def _finish(deps: ChargebackDependencies, connection: PlainConnection, chargeback: Payment) -> None:
    """Finish the chargeback in the transaction that began it."""
    record = FinishRecord(chargeback, expected=chargeback.attempt.state, answer=chargeback.rendered)
    await finish_payments(deps.finish.clock, deps.consequences, connection, [record])


def _build_chargeback(
    deps: ChargebackDependencies,
    request: OperationRequest,
    named: Payment,
    allowed: AllowedOperation,
    *,
    transaction_id: int,
) -> Payment:
    """Build the transaction with its response."""
    now = deps.finish.clock.now_of(request.merchant_id)
    attempt = build_placeholder_attempt(now)
    by_issuer = dataclasses.replace(request, cause=Cause.ISSUER, emulate_code=None)
    opened = build_further(named, by_issuer, allowed, transaction_id=transaction_id, attempt=attempt, now=now)
    chargeback = replace(opened, status=Status.SUCCESS, code=codes.APPROVED, finished_at=now, initiator="customer")
    return replace(chargeback, rendered=render_response(chargeback))
