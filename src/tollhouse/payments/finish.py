"""Record the outcome of an attempt, and build the response from it.

The first writer to finish an attempt wins: the API, the return from a challenge, the sweep and the resolver may race,
and the others read what is stored. An approval that loses is reversed (`payments.reversals`).
"""

from __future__ import annotations

from uuid import UUID

from msgspec.structs import replace

from tollhouse.kernel.errors import InternalError, Unavailable
from tollhouse.kernel.rendered_response import CREATED, RenderedResponse
from tollhouse.payments.dependencies import FinishDependencies
from tollhouse.payments.idempotency import record_response
from tollhouse.payments.model import Payment, Status
from tollhouse.payments.reading.stored_payment import render_stored_payment
from tollhouse.payments.reading.view import render_response
from tollhouse.payments.reversals import choose_reversal_reason, report_late_approval
from tollhouse.payments.steps import FinishRecord
from tollhouse.payments.store import select_payment

#: Until the first inquiry about an unknown outcome.
FIRST_INQUIRY_INTERVAL_SECONDS = 2.0

#: Computations of the outcome of one attempt while its subscription is changed concurrently.
MAX_FORECASTS = 20


async def finish_attempt(
    deps: FinishDependencies, before: Payment, after: Payment, *, erase_code_of: UUID | None = None
) -> RenderedResponse:
    """Commit an outcome with its event and its response; return that response, or the stored one if it came second.

    `erase_code_of` is the holder of a sealed security code that is deleted with this outcome. Raises Unavailable if
    the outcome could not be written; the resolver then determines it.
    """
    for _ in range(MAX_FORECASTS):
        forecast = await deps.forecast(after)
        answer = render_response(forecast)
        is_moved = await deps.write_queue.submit(_build_record(before, forecast, answer, erase_code_of))
        if is_moved is None:  # a subscription was changed meanwhile
            after = _forget_subscription(after)
        elif is_moved:
            if forecast.status is not Status.PENDING:
                deps.on_finished(forecast)
            return RenderedResponse(CREATED, answer)
        else:
            stored = await _load_stored(deps, after)
            report_late_approval(after, stored)
            return await _respond_with(deps, stored)
    raise Unavailable


def _build_record(before: Payment, after: Payment, answer: bytes, erase_code_of: UUID | None) -> FinishRecord:
    return FinishRecord(
        payment=replace(after, rendered=answer),
        expected=before.attempt.state,
        answer=answer,
        resolve_seconds=None if after.attempt.state.is_final else FIRST_INQUIRY_INTERVAL_SECONDS,
        erase_code_of=erase_code_of,
        reversal=choose_reversal_reason(after),
    )


def _forget_subscription(payment: Payment) -> Payment:
    """Return the payment without the subscription record of its lease, so that it is read again."""
    return replace(payment, renewing=payment.renewing and replace(payment.renewing, case=None))


async def load_stored_response(deps: FinishDependencies, payment: Payment) -> RenderedResponse:
    """Return the response that is stored for a payment."""
    return await _respond_with(deps, await _load_stored(deps, payment))


async def _load_stored(deps: FinishDependencies, payment: Payment) -> Payment:
    async with deps.reader.database.acquire() as connection:
        stored = await select_payment(
            connection, merchant_id=payment.merchant_id, transaction_id=payment.transaction_id
        )
    if stored is None:
        raise InternalError("A payment that was committed is not there.")
    return stored


async def _respond_with(deps: FinishDependencies, stored: Payment) -> RenderedResponse:
    response = await render_stored_payment(deps.reader, stored)
    # Repeats of the request get this response too.
    return RenderedResponse(CREATED, await record_response(deps.reader, stored, response))
