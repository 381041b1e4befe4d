"""Idempotent creation: a resource is created once for each idempotency key.

For resources that one database transaction creates. The claim of the request ID, the resource and the response are
committed together, so there is never a claim without a response. A payment calls an acquirer in between, and therefore
has its own protocol (`payments.store`) with the same table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tollhouse.kernel.errors import InternalError, RequestInProgress, TollhouseError
from tollhouse.kernel.requests import Claim, Reply
from tollhouse.storage.database import Database, PlainConnection
from tollhouse.storage.queries import load_queries

CREATED = 201

queries = load_queries("tollhouse.storage")

Create = Callable[["PlainConnection"], Awaitable[bytes]]


async def create_once(database: Database, claim: Claim | None, create: Create, *, status: int = CREATED) -> Reply:
    """Run `create` in one database transaction with the claim of its request ID, and return the response.

    A repeated request gets the first response, byte for byte. Of two concurrent ones, the second waits for the commit
    of the first and is a repeat. If `create` raises, nothing is written and the request ID stays free. `create` may
    call nothing but the database. Raises RequestIdReused for another body under the same ID, and DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        if claim is None:
            return Reply(status, await create(connection))
        if await _claim(connection, claim):
            reply = Reply(status, await create(connection))
            await _record(connection, claim, reply)
            return reply
    recalled = await load_stored_response(database, claim)
    if recalled is None:
        raise InternalError("A request id was taken without an answer.")
    return recalled


async def create_and_send(
    database: Database,
    claim: Claim | None,
    create: Create,
    send: Callable[[], Awaitable[None]],
    *,
    lease_seconds: float,
) -> Reply:
    """Run `create` in one database transaction, then `send`, which calls an outside party.

    Return the response after both.

    The response is recorded after `send`, so that no repeat reports a message that was not sent. A concurrent repeat
    raises RequestInProgress. If the process dies in between, a repeat after `lease_seconds` runs both again. If `send`
    raises, the request ID is free, and the caller undoes the creation. Also raises the exceptions of `create_once`.
    """
    async with database.transaction() as connection:
        is_taken = claim is None or await _lease(connection, claim, lease_seconds=lease_seconds)
        reply = Reply(CREATED, await create(connection)) if is_taken else None
    if reply is None:
        return await _load_sent_response(database, claim)
    try:
        await send()
    except TollhouseError:
        if claim is not None:
            async with database.transaction() as connection:
                await _release(connection, claim)
        raise
    if claim is not None:
        async with database.transaction() as connection:
            await _record(connection, claim, reply)
    return reply


async def _lease(connection: PlainConnection, claim: Claim, *, lease_seconds: float) -> bool:
    leased = await queries.lease_claim(
        connection,
        merchant_id=claim.merchant_id,
        operation=claim.operation,
        request_id=claim.request_id,
        digest=claim.digest,
        lease_seconds=lease_seconds,
    )
    return leased is not None


async def _load_sent_response(database: Database, claim: Claim | None) -> Reply:
    """Return the response to a request ID that another request has claimed.

    Raises RequestIdReused, RequestInProgress.
    """
    if claim is None:
        raise InternalError("A request without an id was taken for a repeat.")
    async with database.acquire() as connection:
        row = await queries.select_claim(
            connection, merchant_id=claim.merchant_id, operation=claim.operation, request_id=claim.request_id
        )
    if row is None:  # the other request failed at this moment and released its claim
        raise RequestInProgress
    claim.check(row["digest"])
    if row["answer"] is None:
        raise RequestInProgress
    return Reply(row["status"], row["answer"], is_replay=True)


async def load_stored_response(database: Database, claim: Claim) -> Reply | None:
    """Return the response stored under a request ID, or None. Raises RequestIdReused."""
    async with database.acquire() as connection:
        row = await queries.select_claim(
            connection, merchant_id=claim.merchant_id, operation=claim.operation, request_id=claim.request_id
        )
    if row is None or row["answer"] is None:
        return None
    claim.check(row["digest"])
    return Reply(row["status"], row["answer"], is_replay=True)


async def _release(connection: PlainConnection, claim: Claim) -> None:
    """Release the claim of a request ID."""
    await queries.delete_claim(
        connection,
        merchant_id=claim.merchant_id,
        operation=claim.operation,
        request_id=claim.request_id,
        digest=claim.digest,
    )


async def _claim(connection: PlainConnection, claim: Claim) -> bool:
    """Claim a request ID. Wait for a concurrent claim of the same ID."""
    taken = await queries.insert_claim(
        connection,
        merchant_id=claim.merchant_id,
        operation=claim.operation,
        request_id=claim.request_id,
        digest=claim.digest,
    )
    return taken is not None


async def _record(connection: PlainConnection, claim: Claim, reply: Reply) -> None:
    await queries.update_claim_answer(
        connection,
        merchant_id=claim.merchant_id,
        operation=claim.operation,
        request_id=claim.request_id,
        status=reply.status,
        answer=reply.body,
    )
