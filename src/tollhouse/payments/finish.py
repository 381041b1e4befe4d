"""Writing down what became of an attempt, and answering by it.

Whoever moves an attempt first is right: the API, the return from a challenge, the sweep and the resolver may race,
and the losers read what is stored. An approval that loses is reversed (`payments.reversals`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tollhouse.kernel.errors import InternalError
from tollhouse.kernel.requests import Reply
from tollhouse.payments.idempotency import record_answer
from tollhouse.payments.model import Payment, Status
from tollhouse.payments.reading.stored_payment import show_payment
from tollhouse.payments.reading.view import render_answer
from tollhouse.payments.records import CREATED
from tollhouse.payments.reversals import choose_reason, report_late_approval
from tollhouse.payments.steps import FinishRecord
from tollhouse.payments.store import select_payment

if TYPE_CHECKING:
    from uuid import UUID

    from tollhouse.payments.dependencies import FinishDependencies

#: When the acquirer is first asked about an unknown outcome.
FIRST_INQUIRY_SECONDS = 2.0


async def finish_attempt(
    deps: FinishDependencies, before: Payment, after: Payment, *, erase_code_of: UUID | None = None
) -> Reply:
    """Commit an outcome with its event and its answer, and return the answer; or the stored one if somebody was first.

    `erase_code_of` is the holder of a sealed security code that dies with this outcome. Raises Unavailable when the
    outcome could not be written; the resolver then finds out about the attempt.
    """
    if after.renewing or after.changing:
        after = replace(after, standings=await deps.forecast(after))
    answer = render_answer(after)
    move = FinishRecord(
        payment=replace(after, rendered=answer),
        expected=before.attempt.state,
        answer=answer,
        resolve_seconds=None if after.attempt.state.is_final else FIRST_INQUIRY_SECONDS,
        erase_code_of=erase_code_of,
        reversal=choose_reason(after),
    )
    if not await deps.lane.submit(move):
        stored = await _load_stored(deps, after)
        report_late_approval(after, stored)
        return await _answer_by(deps, stored)
    if after.status is not Status.PENDING:
        deps.on_finished(after)
    return Reply(CREATED, answer)


async def load_stored_response(deps: FinishDependencies, payment: Payment) -> Reply:
    """Answer by what is stored of a payment."""
    return await _answer_by(deps, await _load_stored(deps, payment))


async def _load_stored(deps: FinishDependencies, payment: Payment) -> Payment:
    async with deps.reader.database.acquire() as connection:
        stored = await select_payment(
            connection, merchant_id=payment.merchant_id, transaction_id=payment.transaction_id
        )
    if stored is None:
        raise InternalError("A payment that was committed is not there.")
    return stored


async def _answer_by(deps: FinishDependencies, stored: Payment) -> Reply:
    answer = await show_payment(deps.reader, stored)
    await record_answer(deps.reader, stored, answer)  # what a client hears now stays the answer to its request
    return Reply(CREATED, answer)
