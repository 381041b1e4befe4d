"""Disputes: what issuers charged back is asked of the acquirers, recorded once each, and then acknowledged.

Only what was recorded is acknowledged. Nothing about the payment keeps a dispute from being recorded.

    ask ──> record the charge-back (durable) ──> acknowledge

An acquirer tells a dispute until it is acknowledged, and a dispute is recorded under a request id that follows from its
own id. So a process that dies between two of the steps loses nothing, and what is told twice is recorded once.

One question is for all merchants. It bears the instant until which a dispute is due: the real time, and for the few
merchants whose clock is ahead, in stage, their own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from tollhouse.acquirers.model import Acquirer, AcquirerDispute, DisputeQuery, NotSent, Unknown
from tollhouse.kernel.errors import NotFound, Refusal, Unavailable
from tollhouse.kernel.requests import Claim
from tollhouse.payments.dependencies import DisputeDependencies
from tollhouse.payments.disputes.chargeback import record_dispute
from tollhouse.payments.lifecycle import read_reference
from tollhouse.payments.model import Cause, Mode, Payment
from tollhouse.payments.operations.operate import NO_OPERATION_ON, OperationRequest
from tollhouse.payments.store import queries, select_payment
from tollhouse.storage.database import PlainConnection

#: Under which request ids of disputes are taken: no client's are, so that they never meet.
OPERATION = "dispute"
#: Pages at a time; what is left then waits for the next look.
MAX_PAGES = 100
#: Merchants with a clock of their own in one question; for those beyond the real time counts, and a look of their own.
MAX_AHEAD = 1_000
#: After everything that will ever fall due.
FOR_EVER = datetime.max.replace(tzinfo=UTC)

_ACCEPTOR = re.compile("[0-9]{1,18}")

log = structlog.get_logger()


async def import_disputes(
    deps: DisputeDependencies, *, merchant_id: int | None = None, is_stopping: Callable[[], bool] = lambda: False
) -> int:
    """Record what is due now, of one merchant or of all, and return how many charge-backs were recorded.

    When the process stops, no further page is asked for. Raises Unavailable when an acquirer does not answer; what it
    told until then, and what others tell, is recorded.
    """
    query = await _build_query(deps, merchant_id)
    recorded, silent = 0, None
    for acquirer in deps.acquirers.values():
        try:
            recorded += await _take_in(deps, acquirer, query, is_stopping)
        except Unavailable as error:
            silent = error
    if silent is not None:
        raise silent
    return recorded


async def find_next_dispute(deps: DisputeDependencies, merchant_id: int) -> datetime | None:
    """Return when the next of a merchant's disputes falls due, in its time, as far as the acquirers tell; or None.

    That may be past: then it can be taken in, or waits for an operation that is open. Raises Unavailable when an
    acquirer does not answer.
    """
    query = DisputeQuery(until=FOR_EVER, acceptor=str(merchant_id))
    pages = [await _ask(acquirer, query) for acquirer in deps.acquirers.values()]
    return min((page[0].due_at for page in pages if page), default=None)


async def _build_query(deps: DisputeDependencies, merchant_id: int | None) -> DisputeQuery:
    """Say until when, by which clock; and tell our own clock how far the merchants' are ahead."""
    async with deps.database.acquire() as connection:
        rows = queries.select_clocks_ahead(connection, merchant_id=merchant_id, most=MAX_AHEAD)
        offsets = {row["merchant_id"]: row["clock_offset"] async for row in rows}
    for ahead_id, offset in offsets.items():
        deps.clock.observe_offset(ahead_id, offset)
    if merchant_id is not None:
        return DisputeQuery(until=deps.clock.now_of(merchant_id), acceptor=str(merchant_id))
    ahead = {str(ahead_id): deps.clock.now_of(ahead_id) for ahead_id in offsets}
    return DisputeQuery(until=deps.clock.now(), ahead=ahead)


async def _take_in(
    deps: DisputeDependencies, acquirer: Acquirer, query: DisputeQuery, is_stopping: Callable[[], bool]
) -> int:
    """Take in what one acquirer tells, page by page."""
    recorded = 0
    for _ in range(MAX_PAGES):
        if is_stopping():
            break
        page = await _ask(acquirer, query)
        if not page:
            break
        done = await asyncio.gather(*(_record(deps, acquirer.name, dispute) for dispute in page))
        settled = [dispute.dispute_id for dispute, is_done in zip(page, done, strict=True) if is_done]
        if settled and not await acquirer.acknowledge_disputes(settled):
            log.info("disputes.acknowledgement_failed", acquirer=acquirer.name, disputes=len(settled))
        recorded += len(settled)
        query = replace(query, after=page[-1].dispute_id)
    return recorded


async def _ask(acquirer: Acquirer, query: DisputeQuery) -> tuple[AcquirerDispute, ...]:
    page = await acquirer.list_disputes(query)
    if isinstance(page, Unknown | NotSent):
        raise Unavailable(f"The acquirer did not tell what was charged back: {page.cause}.")
    return page


async def _record(deps: DisputeDependencies, acquirer: str, dispute: AcquirerDispute) -> bool:
    """Record one, and tell whether it need not be told again; what goes wrong with it is no other one's matter."""
    where = {"acquirer": acquirer, "dispute_id": dispute.dispute_id, "reference": dispute.reference}
    try:
        await record_dispute(deps.chargebacks, await _build_wish(deps, acquirer, dispute), dispute.money)
    except NotFound:
        log.warning("dispute.payment_unknown", **where)
        return False
    except Refusal as error:  # the database is away: it is told again
        log.warning("dispute.import_failed", error=type(error).__name__, **where)
        return False
    except Exception:  # it is told again, and the others of the page are recorded
        log.exception("dispute.import_failed", **where)
        return False
    return True


async def _build_wish(deps: DisputeDependencies, acquirer: str, dispute: AcquirerDispute) -> OperationRequest:
    """Say what is charged back. Raises NotFound unless this acquirer has processed it for this merchant."""
    transaction_id = read_reference(dispute.reference)
    if transaction_id is None or not _ACCEPTOR.fullmatch(dispute.acceptor):
        raise NotFound
    merchant_id = int(dispute.acceptor)
    async with deps.database.acquire() as connection:
        named = await select_payment(connection, merchant_id=merchant_id, transaction_id=transaction_id)
        if named is None or (named.attempt.acquirer, named.attempt.reference) != (acquirer, dispute.reference):
            raise NotFound
        named = await _find_disputed(connection, named)
    request_id = f"{acquirer}-{dispute.dispute_id}"
    digest = deps.vault.digest(f"{request_id}|{dispute.reference}".encode())
    return OperationRequest(
        merchant_id=merchant_id,
        transaction_id=named.transaction_id,
        request_id=request_id,
        mode=Mode.CHARGEBACK,
        claim=Claim(merchant_id, OPERATION, request_id, digest),
        cause=Cause.ISSUER,
        reason=dispute.reason,
    )


async def _find_disputed(connection: PlainConnection, named: Payment) -> Payment:
    """Return the sale, authorization or capture that a dispute is about, which may name a later operation on it."""
    while named.mode in NO_OPERATION_ON and named.basis is not None:
        basis_id = named.basis.transaction_id
        found = await select_payment(connection, merchant_id=named.merchant_id, transaction_id=basis_id)
        if found is None:
            raise NotFound
        named = found
    return named
