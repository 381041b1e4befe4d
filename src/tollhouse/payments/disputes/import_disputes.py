"""Import disputes from the acquirers: query them, record each once, and acknowledge it.

Only recorded disputes are acknowledged. No state of the payment prevents recording.

    query ──> record the chargeback (durable) ──> acknowledge

An acquirer repeats a dispute until it is acknowledged, and its idempotency key is derived from its ID. So a
process that dies between two steps loses nothing, and a repeated dispute is recorded once.

One query is for all merchants. It contains the instant until which a dispute is due: the real time, and in stage the
merchant time of each merchant whose clock is ahead.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from tollhouse.acquirers.model import Acquirer, AcquirerDispute, DisputeQuery, NotSent, Unknown
from tollhouse.idempotency.model import Claim
from tollhouse.kernel.errors import NotFound, Rejection, Unavailable
from tollhouse.payments.dependencies import DisputeDependencies
from tollhouse.payments.disputes.chargeback import record_dispute
from tollhouse.payments.lifecycle import read_reference
from tollhouse.payments.model import Cause, Mode, Payment
from tollhouse.payments.operations.operate import NO_OPERATION_ON, OperationRequest
from tollhouse.payments.store import queries, select_payment
from tollhouse.storage.database import PlainConnection

#: The operation of idempotency keys of disputes. No client's key has it.
OPERATION = "dispute"
#: Pages of one import; the others are imported next time.
MAX_PAGES = 100
#: Merchants with a clock of their own in one query; for further ones the real time counts.
MAX_MERCHANTS_AHEAD = 1_000
#: Later than any due time.
END_OF_TIME = datetime.max.replace(tzinfo=UTC)

_ACCEPTOR = re.compile("[0-9]{1,18}")

log = structlog.get_logger()


async def import_disputes(
    deps: DisputeDependencies, *, merchant_id: int | None = None, is_stopping: Callable[[], bool] = lambda: False
) -> int:
    """Record the disputes that are due, of one merchant or of all; return the number of chargebacks.

    If the process stops, no further page is requested. Raises Unavailable if an acquirer does not respond; the disputes
    that it sent before, and those of other acquirers, are recorded.
    """
    query = await _build_query(deps, merchant_id)
    recorded, silent = 0, None
    for acquirer in deps.acquirers.values():
        try:
            recorded += await _import_pages(deps, acquirer, query, is_stopping)
        except Unavailable as error:
            silent = error
    if silent is not None:
        raise silent
    return recorded


async def find_next_dispute(deps: DisputeDependencies, merchant_id: int) -> datetime | None:
    """Return the merchant time at which the next dispute of a merchant falls due, or None.

    It may be past: the dispute can be imported now, or waits for an open operation. Raises Unavailable if an acquirer
    does not respond.
    """
    query = DisputeQuery(until=END_OF_TIME, acceptor=str(merchant_id))
    pages = [await _query(acquirer, query) for acquirer in deps.acquirers.values()]
    return min((page[0].due_at for page in pages if page), default=None)


async def _build_query(deps: DisputeDependencies, merchant_id: int | None) -> DisputeQuery:
    """Build the query with the times until which disputes are due; update the offsets of our own clock."""
    async with deps.database.acquire() as connection:
        rows = queries.select_clocks_ahead(connection, merchant_id=merchant_id, max_rows=MAX_MERCHANTS_AHEAD)
        offsets = {row["merchant_id"]: row["clock_offset"] async for row in rows}
    for ahead_id, offset in offsets.items():
        deps.clock.observe_offset(ahead_id, offset)
    if merchant_id is not None:
        return DisputeQuery(until=deps.clock.now_of(merchant_id), acceptor=str(merchant_id))
    ahead = {str(ahead_id): deps.clock.now_of(ahead_id) for ahead_id in offsets}
    return DisputeQuery(until=deps.clock.now(), ahead=ahead)


async def _import_pages(
    deps: DisputeDependencies, acquirer: Acquirer, query: DisputeQuery, is_stopping: Callable[[], bool]
) -> int:
    """Import the disputes of one acquirer, page by page."""
    recorded = 0
    for _ in range(MAX_PAGES):
        if is_stopping():
            break
        page = await _query(acquirer, query)
        if not page:
            break
        done = await asyncio.gather(*(_record(deps, acquirer.name, dispute) for dispute in page))
        done_ids = [dispute.dispute_id for dispute, is_done in zip(page, done, strict=True) if is_done]
        if done_ids and not await acquirer.acknowledge_disputes(done_ids):
            log.info("disputes.acknowledgement_failed", acquirer=acquirer.name, disputes=len(done_ids))
        recorded += len(done_ids)
        query = replace(query, after=page[-1].dispute_id)
    return recorded


async def _query(acquirer: Acquirer, query: DisputeQuery) -> tuple[AcquirerDispute, ...]:
    page = await acquirer.list_disputes(query)
    if isinstance(page, Unknown | NotSent):
        raise Unavailable(f"The acquirer did not tell what was charged back: {page.cause}.")
    return page


async def _record(deps: DisputeDependencies, acquirer: str, dispute: AcquirerDispute) -> bool:
    """Record one dispute; return whether it may be acknowledged. Its failure does not affect the others."""
    where = {"acquirer": acquirer, "dispute_id": dispute.dispute_id, "reference": dispute.reference}
    try:
        await record_dispute(deps.chargebacks, await _build_request(deps, acquirer, dispute), dispute.money)
    except NotFound:
        log.warning("dispute.payment_unknown", **where)
        return False
    except Rejection as error:  # the acquirer will send it again
        log.warning("dispute.import_failed", error=type(error).__name__, **where)
        return False
    except Exception:  # the acquirer will send it again; the others of the page are recorded
        log.exception("dispute.import_failed", **where)
        return False
    return True


async def _build_request(deps: DisputeDependencies, acquirer: str, dispute: AcquirerDispute) -> OperationRequest:
    """Build the request for a chargeback. Raises NotFound unless this acquirer processed the transaction."""
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
    """Return the disputed sale, authorization or capture; the acquirer may name a later operation on it."""
    while named.mode in NO_OPERATION_ON and named.basis is not None:
        basis_id = named.basis.transaction_id
        found = await select_payment(connection, merchant_id=named.merchant_id, transaction_id=basis_id)
        if found is None:
            raise NotFound
        named = found
    return named
