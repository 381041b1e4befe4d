"""Replay the first recorded response to a repeated request, byte for byte.

A repeat in the same process waits for the first request. A repeat in another process polls the database until the
response is recorded or its time-out ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec

from msgspec.structs import replace

from tollhouse.kernel.errors import InternalError, RequestInProgress
from tollhouse.kernel.requests import Claim, Reply
from tollhouse.payments.dependencies import PaymentReader, RequestDependencies
from tollhouse.payments.model import AttemptState, Payment, Status
from tollhouse.payments.reading.stored_payment import show_payment
from tollhouse.payments.reading.view import render_answer
from tollhouse.payments.records import CREATED
from tollhouse.payments.steps import Claimed
from tollhouse.payments.store import queries, select_claim, select_payment, select_payment_by_order
from tollhouse.payments.work import RunningRequest

Parameters = ParamSpec("Parameters")

FIRST_PAUSE_SECONDS = 0.002
MAX_PAUSE_SECONDS = 0.1

#: The acquirer is being called, and the first request waits for the outcome.
ASKING = frozenset({AttemptState.IN_FLIGHT, AttemptState.REVERSING})


async def run_once(
    deps: RequestDependencies,
    claim: Claim | None,
    carry_out: Callable[Concatenate[RunningRequest, Parameters], Coroutine[Any, Any, Reply]],
    *arguments: Parameters.args,
    **options: Parameters.kwargs,
) -> Reply:
    """Run a request, or wait for an equal one under way in this process; reply `pending` if that takes too long.

    The work continues after its client disconnects, and after `pending`: the callback reports the outcome. Raises
    RequestIdReused if the running request has another body, and everything that the work raises.
    """
    known = deps.running.find(claim)
    work = known or deps.running.begin(claim, carry_out, *arguments, **options)
    reply = await work.wait(deps.answer_seconds)
    if reply is None:
        reply = await _answer_pending(deps, _expect(work.payment), claim)
    return replace(reply, is_replay=True) if known else reply


async def _answer_pending(deps: RequestDependencies, payment: Payment, claim: Claim | None) -> Reply:
    """Return `pending` because the outcome is not known yet. Repeats of the request get it too."""
    answer = render_answer(payment)
    if claim is None:
        return Reply(CREATED, answer)
    await record_response(deps.reader, payment, answer)
    recorded = await recall_claim(deps, claim)  # the outcome may have been recorded in the same moment
    return Reply(CREATED, recorded.body if recorded else answer)


async def recall_claim(deps: RequestDependencies, claim: Claim) -> Reply | None:
    """Return the response recorded under an idempotency key, waiting while its request runs; None if it is new.

    Raises RequestIdReused for another body, and RequestInProgress if no response was recorded in time.
    """
    for pause in _pauses(deps.answer_seconds):
        async with deps.reader.database.acquire() as connection:
            claimed = await select_claim(connection, claim)
        if claimed is None:
            return None
        claim.check(claimed.digest)
        if claimed.answer is not None:
            return Reply(claimed.status or CREATED, claimed.answer, is_replay=True)
        # The key of a double click has no response of its own if the first request had already got one.
        payment = await _load_claimed(deps, claim.merchant_id, claimed)
        if await _answer_by_payment(deps, payment) is None:
            await asyncio.sleep(pause)
    raise RequestInProgress


async def answer_double_click(deps: RequestDependencies, payment: Payment, *, payment_id: int) -> Reply:
    """Return the response of the payment that a double click repeats, once it is finished or challenged.

    If that takes long, the response is `pending`, as it was for the first request. It is recorded for the idempotency
    key of the double click too.
    """
    for pause in _pauses(deps.answer_seconds):
        answer = await _answer_by_payment(deps, await _load_first(deps, payment.merchant_id, payment_id))
        if answer is not None:
            return Reply(CREATED, answer, is_replay=True)
        await asyncio.sleep(pause)
    late = await _answer_by_payment(deps, await _load_first(deps, payment.merchant_id, payment_id), waits=False)
    return Reply(CREATED, late or b"", is_replay=True)


async def _load_claimed(deps: RequestDependencies, merchant_id: int, claimed: Claimed) -> Payment:
    """Return the payment under an idempotency key: the first transaction, or an operation."""
    if claimed.transaction_id is None:
        return await _load_first(deps, merchant_id, claimed.payment_id)
    async with deps.reader.database.acquire() as connection:
        payment = await select_payment(connection, merchant_id=merchant_id, transaction_id=claimed.transaction_id)
    return _expect(payment)


async def _load_first(deps: RequestDependencies, merchant_id: int, payment_id: int) -> Payment:
    async with deps.reader.database.acquire() as connection:
        return _expect(await select_payment_by_order(connection, merchant_id=merchant_id, payment_id=payment_id))


def _expect(payment: Payment | None) -> Payment:
    if payment is None:
        raise InternalError("A payment that was committed is not there.")
    return payment


async def _answer_by_payment(deps: RequestDependencies, payment: Payment, *, waits: bool = True) -> bytes | None:
    """Record the current response of a payment for its idempotency keys without one, and return it.

    While the acquirer is called there is no response; with `waits=False` it is `pending`.
    """
    if waits and not has_answer(payment):
        return None
    return await record_response(deps.reader, payment, await show_payment(deps.reader, payment))


def _pauses(seconds: float) -> Iterator[float]:
    """Yield growing poll intervals, for so many seconds and at least once."""
    give_up_at = time.monotonic() + seconds
    pause = FIRST_PAUSE_SECONDS
    yield pause
    while time.monotonic() < give_up_at:
        pause = min(2 * pause, MAX_PAUSE_SECONDS)
        yield pause


def has_answer(payment: Payment) -> bool:
    """Return whether the first request for a payment got a response, judging by the payment alone."""
    return payment.status is not Status.PENDING or payment.attempt.state not in ASKING


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
