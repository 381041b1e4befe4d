"""Run a request for a payment once, and replay its first response.

A repeat in the same process waits for the same task. A repeat in another process polls the database
(`idempotency.replay`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Concatenate, ParamSpec

from msgspec.structs import replace

from tollhouse.idempotency.model import Claim, StoredClaim
from tollhouse.idempotency.replay import replay
from tollhouse.idempotency.running import RunningRequest
from tollhouse.kernel.errors import InternalError
from tollhouse.kernel.polling import growing_pauses
from tollhouse.kernel.rendered_response import CREATED, RenderedResponse
from tollhouse.payments.dependencies import PaymentReader, RequestDependencies
from tollhouse.payments.model import AttemptState, Payment, Status
from tollhouse.payments.reading.stored_payment import render_stored_payment
from tollhouse.payments.reading.view import render_response
from tollhouse.payments.store import queries, select_payment, select_payment_by_order

Parameters = ParamSpec("Parameters")

#: The acquirer is being called, and the first request waits for the outcome.
CALLING_STATES = frozenset({AttemptState.IN_FLIGHT, AttemptState.REVERSING})


async def run_once(
    deps: RequestDependencies,
    claim: Claim | None,
    carry_out: Callable[Concatenate[RunningRequest, Parameters], Coroutine[Any, Any, RenderedResponse]],
    *arguments: Parameters.args,
    **options: Parameters.kwargs,
) -> RenderedResponse:
    """Run a request, or wait for an equal one under way in this process; return `pending` if that takes too long.

    The work continues after its client disconnects, and after `pending`: the callback reports the outcome. Raises
    RequestIdReused if the running request has another body, and everything that the work raises.
    """
    known = deps.running.find(claim)
    work = known or deps.running.begin(claim, carry_out, *arguments, **options)
    rendered = await work.wait(deps.answer_seconds)
    if rendered is None:
        rendered = await _respond_pending(deps, _expect(work.begun), claim)
    return replace(rendered, is_replay=True) if known else rendered


async def _respond_pending(deps: RequestDependencies, payment: Payment, claim: Claim | None) -> RenderedResponse:
    """Return `pending` because the outcome is not known yet. Repeats of the request get it too."""
    answer = render_response(payment)
    if claim is None:
        return RenderedResponse(CREATED, answer)
    await record_response(deps.reader, payment, answer)
    recorded = await replay_claim(deps, claim)  # the outcome may have been recorded in the same moment
    return RenderedResponse(CREATED, recorded.body if recorded else answer)


async def replay_claim(deps: RequestDependencies, claim: Claim | None) -> RenderedResponse | None:
    """Return the first response to a request, waiting while it runs; None if its key is new or missing.

    Raises RequestIdReused for another body, and RequestInProgress if there was no response in time.
    """
    find_response = partial(_find_response, deps)
    return await replay(deps.reader.database, claim, wait_seconds=deps.answer_seconds, find_response=find_response)


async def _find_response(deps: RequestDependencies, claimed: StoredClaim) -> bytes | None:
    """Return the response to a request that follows from its payment or operation, or None until it exists."""
    if claimed.payment_id is None:
        raise InternalError("A request for a payment leads to none.")
    async with deps.reader.database.acquire() as connection:
        recorded: bytes | None = await queries.select_final_response(
            connection,
            merchant_id=claimed.merchant_id,
            payment_id=claimed.payment_id,
            transaction_id=claimed.transaction_id,
        )
    if recorded is not None:
        return recorded
    # The key of a double click has no response of its own if the first request had already got one.
    payment = await _load_claimed(
        deps, claimed.merchant_id, payment_id=claimed.payment_id, transaction_id=claimed.transaction_id
    )
    return await _respond_with_payment(deps, payment)


async def respond_to_double_click(deps: RequestDependencies, payment: Payment, *, payment_id: int) -> RenderedResponse:
    """Return the response of the payment that a double click repeats, once it is finished or challenged.

    If that takes long, the response is `pending`, as it was for the first request. It is recorded for the idempotency
    key of the double click too.
    """
    for pause in growing_pauses(deps.answer_seconds):
        answer = await _respond_with_payment(deps, await _load_first(deps, payment.merchant_id, payment_id))
        if answer is not None:
            return RenderedResponse(CREATED, answer, is_replay=True)
        await asyncio.sleep(pause)
    late = await _respond_with_payment(deps, await _load_first(deps, payment.merchant_id, payment_id), waits=False)
    return RenderedResponse(CREATED, late or b"", is_replay=True)


async def _load_claimed(
    deps: RequestDependencies, merchant_id: int, *, payment_id: int, transaction_id: int | None
) -> Payment:
    """Return the payment under an idempotency key: the first transaction, or an operation."""
    if transaction_id is None:
        return await _load_first(deps, merchant_id, payment_id)
    async with deps.reader.database.acquire() as connection:
        return _expect(await select_payment(connection, merchant_id=merchant_id, transaction_id=transaction_id))


async def _load_first(deps: RequestDependencies, merchant_id: int, payment_id: int) -> Payment:
    async with deps.reader.database.acquire() as connection:
        return _expect(await select_payment_by_order(connection, merchant_id=merchant_id, payment_id=payment_id))


def _expect(payment: Payment | None) -> Payment:
    if payment is None:
        raise InternalError("A payment that was committed is not there.")
    return payment


async def _respond_with_payment(deps: RequestDependencies, payment: Payment, *, waits: bool = True) -> bytes | None:
    """Record the current response of a payment for its idempotency keys without one, and return it.

    While the acquirer is called there is no response; with `waits=False` it is `pending`.
    """
    if waits and not has_response(payment):
        return None
    return await record_response(deps.reader, payment, await render_stored_payment(deps.reader, payment))


def has_response(payment: Payment) -> bool:
    """Return whether the first request for a payment got a response, judging by the payment alone."""
    return payment.status is not Status.PENDING or payment.attempt.state not in CALLING_STATES


async def record_response(reader: PaymentReader, payment: Payment, response: bytes) -> bytes:
    """Record a response for the idempotency keys that belong to a payment and have none yet.

    Returns the response that repeats get: if the payment has been finished, that of its outcome.
    """
    async with reader.database.acquire() as connection:
        recorded: bytes = await queries.record_response(
            connection,
            merchant_id=payment.merchant_id,
            payment_id=payment.payment_id,
            transaction_id=payment.transaction_id,
            is_first=payment.mode.is_first,
            answer=response,
        )
    return recorded
