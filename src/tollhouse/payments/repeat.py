"""The same request again: the first recorded answer, byte for byte.

Repeats inside one process wait for the first one's answer; those that meet another process look into the database
until the answer is recorded or their patience ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hmac import compare_digest
from typing import TYPE_CHECKING

from tollhouse.kernel.errors import RequestIdReused, StillRunning
from tollhouse.payments.look import show_payment
from tollhouse.payments.model import AttemptState, Claim, Payment, Reply, Status
from tollhouse.payments.records import CREATED
from tollhouse.payments.store import queries, select_claim, select_payment_by_order

if TYPE_CHECKING:
    from tollhouse.payments.tools import Tools

FIRST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.1


async def answer_once(tools: Tools, claim: Claim, work: Callable[[], Awaitable[Reply]]) -> Reply:
    """Do the work unless this process is at it for an equal request; then wait for that one's answer.

    Raises RequestIdReused when the request under way has another body.
    """
    key = (claim.merchant_id, claim.operation, claim.request_id)
    under_way = tools.answering.get(key)
    if under_way is not None:
        return await _join(under_way, claim)
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    tools.answering[key] = (claim.digest, future)
    try:
        reply = await work()
    except BaseException as error:
        future.set_exception(error if isinstance(error, Exception) else StillRunning())
        future.exception()  # it is raised here too, and nobody else has to fetch it
        raise
    else:
        future.set_result(reply)
        return reply
    finally:
        del tools.answering[key]


async def _join(under_way: tuple[bytes, asyncio.Future[Reply]], claim: Claim) -> Reply:
    digest, future = under_way
    check_digest(digest, claim)
    return replace(await asyncio.shield(future), is_replay=True)


async def recall_claim(tools: Tools, claim: Claim) -> Reply | None:
    """Return the recorded answer to a request id, waiting for it while its request runs; None when the id is free.

    Raises RequestIdReused for another body, and StillRunning when no answer came in time.
    """
    give_up_at = time.monotonic() + tools.patience.answer
    pause = FIRST_PAUSE_SECONDS
    while True:
        async with tools.database.acquire() as connection:
            claimed = await select_claim(connection, claim)
        if claimed is None:
            return None
        check_digest(claimed.digest, claim)
        if claimed.answer is not None:
            return Reply(claimed.status or CREATED, claimed.answer, is_replay=True)
        if time.monotonic() >= give_up_at:
            raise StillRunning
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def answer_double_click(tools: Tools, payment: Payment, *, payment_id: int) -> Reply:
    """Answer a double click as the payment that it repeats: once that one is settled or waits for its cardholder.

    The answer is recorded for the request id of the double click too. Raises StillRunning when there is none in time.
    """
    give_up_at = time.monotonic() + tools.patience.answer
    pause = FIRST_PAUSE_SECONDS
    while time.monotonic() < give_up_at:
        async with tools.database.acquire() as connection:
            first = await select_payment_by_order(connection, merchant_id=payment.merchant_id, payment_id=payment_id)
        if first is not None and has_answer(first):
            answer = await show_payment(tools, first)
            await record_answer(tools, first, answer)
            return Reply(CREATED, answer, is_replay=True)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    raise StillRunning


def has_answer(payment: Payment) -> bool:
    """Tell whether the first request for a payment has had its answer, as far as the payment itself tells."""
    return payment.status is not Status.PENDING or payment.attempt.state is not AttemptState.IN_FLIGHT


async def record_answer(tools: Tools, payment: Payment, answer: bytes) -> None:
    """Record an answer for the request ids that lead to a payment and have none yet."""
    async with tools.database.acquire() as connection:
        await queries.record_answer(
            connection,
            merchant_id=payment.merchant_id,
            payment_id=payment.payment_id,
            status=CREATED,
            answer=answer,
        )


def check_digest(digest: bytes, claim: Claim) -> None:
    """Raise RequestIdReused unless the request under this id had the same body."""
    if not compare_digest(digest, claim.digest):
        raise RequestIdReused
