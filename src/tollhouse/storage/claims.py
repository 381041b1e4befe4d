"""Creating a thing once, however often it is asked for.

For whatever is created by one transaction alone. The request id, the thing and the answer are committed together, so
there is never a claim without its answer. A payment, which asks an acquirer in between, claims in its own way
(`payments.store`), in the same table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tollhouse.kernel.errors import InternalError, RequestInProgress, TollhouseError
from tollhouse.kernel.requests import Claim, Reply
from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from tollhouse.storage.database import Database, PlainConnection

CREATED = 201

queries = load_queries("tollhouse.storage")

Create = Callable[["PlainConnection"], Awaitable[bytes]]


async def create_once(database: Database, claim: Claim | None, create: Create, *, status: int = CREATED) -> Reply:
    """Run `create` in one transaction with the claim of its request id, and return the answer that it gives.

    A repeat gets the first answer, byte for byte; two at the same time are one and a repeat, since the second waits
    for the first one's commit. When `create` raises, nothing is written and the request id stays free. It may ask
    nobody but the database. Raises RequestIdReused for another body under the same id, and DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        if claim is None:
            return Reply(status, await create(connection))
        if await _take(connection, claim):
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
    """Run `create` in one transaction, then `send`, which reaches outside; return the answer when both are done.

    The answer is recorded after `send`, so that no repeat is told of something that was never sent. A repeat meanwhile
    raises RequestInProgress. When the process died in between, a repeat after `lease_seconds` does both again. When
    `send` raises, the request id is free; the caller takes back what was created. Raises what `create_once` raises too.
    """
    async with database.transaction() as connection:
        is_taken = claim is None or await _lease(connection, claim, lease_seconds=lease_seconds)
        reply = Reply(CREATED, await create(connection)) if is_taken else None
    if reply is None:
        return await _recall_sent(database, claim)
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


async def _recall_sent(database: Database, claim: Claim | None) -> Reply:
    """Return the answer to a request id that another request holds. Raises RequestIdReused and RequestInProgress."""
    if claim is None:
        raise InternalError("A request without an id was taken for a repeat.")
    async with database.acquire() as connection:
        row = await queries.select_claim(
            connection, merchant_id=claim.merchant_id, operation=claim.operation, request_id=claim.request_id
        )
    if row is None:  # its work failed in the same moment, and gave it back
        raise RequestInProgress
    claim.check(row["digest"])
    if row["answer"] is None:
        raise RequestInProgress
    return Reply(row["status"], row["answer"], is_replay=True)


async def load_stored_response(database: Database, claim: Claim) -> Reply | None:
    """Return the answer that stands under a request id, or None where there is none. Raises RequestIdReused."""
    async with database.acquire() as connection:
        row = await queries.select_claim(
            connection, merchant_id=claim.merchant_id, operation=claim.operation, request_id=claim.request_id
        )
    if row is None or row["answer"] is None:
        return None
    claim.check(row["digest"])
    return Reply(row["status"], row["answer"], is_replay=True)


async def _release(connection: PlainConnection, claim: Claim) -> None:
    """Give a request id back."""
    await queries.delete_claim(
        connection,
        merchant_id=claim.merchant_id,
        operation=claim.operation,
        request_id=claim.request_id,
        digest=claim.digest,
    )


async def _take(connection: PlainConnection, claim: Claim) -> bool:
    """Take a request id; a concurrent claimant is waited for."""
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
