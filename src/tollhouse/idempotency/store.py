"""Rows of idempotency keys. Each function runs in the database transaction of its caller.

A request without a key is always new, and nothing is recorded for it.
"""

from __future__ import annotations

from typing import Any

from tollhouse.idempotency.model import Claim, StoredClaim
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries

queries = load_queries("tollhouse.idempotency")


def claim_row(
    place: int, claim: Claim, *, payment_id: int | None, transaction_id: int | None = None
) -> tuple[Any, ...]:
    """Return a claim as a `request_claim_v1`, at its place in a batch."""
    return place, claim.merchant_id, claim.operation, claim.request_id, claim.digest, payment_id, transaction_id


async def claim_request(
    connection: PlainConnection,
    claim: Claim | None,
    *,
    payment_id: int | None = None,
    transaction_id: int | None = None,
) -> bool:
    """Claim a key; return False if an earlier request claimed it. Wait for a concurrent claim of the same key."""
    if claim is None:
        return True
    row = claim_row(1, claim, payment_id=payment_id, transaction_id=transaction_id)
    won: int = await queries.claim_request(connection, claim=row)
    return won == 1


async def take_over_claim(connection: PlainConnection, claim: Claim | None, *, lease_seconds: float) -> bool:
    """Claim again the key of an equal request that got no response for so many seconds; return False otherwise."""
    if claim is None:
        return False
    taken = await queries.take_over_claim(
        connection, **_key_of(claim), digest=claim.digest, lease_seconds=lease_seconds
    )
    return taken is not None


async def select_claim(connection: PlainConnection, claim: Claim) -> StoredClaim | None:
    """Return the claim of a key by the first request, or None if the key is free."""
    row = await queries.select_claim(connection, **_key_of(claim))
    return StoredClaim(**row) if row else None


async def record_response(connection: PlainConnection, claim: Claim | None, rendered: RenderedResponse) -> None:
    """Record the response to the request that claimed a key. The first recorded response stays."""
    if claim is not None:
        await queries.update_answer(connection, **_key_of(claim), status=rendered.status, answer=rendered.body)


async def release_claim(connection: PlainConnection, claim: Claim) -> None:
    """Release the key of a request that did nothing."""
    await queries.release_claim(connection, claim=claim_row(1, claim, payment_id=None))


def _key_of(claim: Claim) -> dict[str, Any]:
    return {"merchant_id": claim.merchant_id, "operation": claim.operation, "request_id": claim.request_id}
