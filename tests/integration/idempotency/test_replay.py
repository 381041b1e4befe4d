"""Claims of idempotency keys, and the replay of the response to the request that claimed a key."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tollhouse.idempotency.model import Claim, StoredClaim
from tollhouse.idempotency.replay import replay
from tollhouse.idempotency.store import claim_request, record_response, release_claim, take_over_claim
from tollhouse.kernel.errors import RequestIdReused, RequestInProgress
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.storage.database import Database

CLAIM = Claim(1, "payment", "first", b"digest of the body")
FIRST = RenderedResponse(200, b"first")


async def claim(database: Database, key: Claim | None = CLAIM, *, payment_id: int | None = None) -> bool:
    """Claim a key in a database transaction of its own."""
    async with database.transaction() as connection:
        return await claim_request(connection, key, payment_id=payment_id)


async def record(database: Database, reply: RenderedResponse) -> None:
    """Record a response to the request that claimed the key."""
    async with database.transaction() as connection:
        await record_response(connection, CLAIM, reply)


async def test_a_free_key_has_no_response(database: Database) -> None:
    """A request without a key, or with one that nobody claimed, has nothing to be replayed."""
    assert await replay(database, None) is None
    assert await replay(database, CLAIM) is None


async def test_a_key_is_claimed_once(database: Database) -> None:
    """The first request claims a key; each request without a key is new."""
    assert [await claim(database) for _ in range(3)] == [True, False, False]
    assert [await claim(database, None) for _ in range(2)] == [True, True]


async def test_a_claimant_that_gives_up_leaves_its_key(database: Database) -> None:
    """A request waits for a concurrent claimant of its key, and claims the key if that one rolls back."""
    async with database.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await claim_request(connection, CLAIM)
        second = asyncio.create_task(claim(database))
        await asyncio.sleep(0.05)
        assert not second.done()
        await transaction.rollback()
        assert await second


async def test_a_repeat_waits_for_the_response(database: Database) -> None:
    """A repeat polls until the response is recorded, and gets it with its status."""
    await claim(database)
    waiting = asyncio.create_task(replay(database, CLAIM, wait_seconds=10))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await record(database, FIRST)
    assert await waiting == as_replay(FIRST)


def as_replay(reply: RenderedResponse) -> RenderedResponse:
    """Return a response as its repeat gets it."""
    return RenderedResponse(reply.status, reply.body, is_replay=True)


async def test_a_repeat_does_not_wait_for_ever(database: Database) -> None:
    """If the first request gets no response in time, its repeat is still in progress."""
    await claim(database)
    for seconds in (0.0, 0.05):
        with pytest.raises(RequestInProgress):
            await replay(database, CLAIM, wait_seconds=seconds)


async def test_the_first_response_stays(database: Database) -> None:
    """A response that was recorded is not replaced."""
    await claim(database)
    for reply in (FIRST, RenderedResponse(201, b"second")):
        await record(database, reply)
    assert await replay(database, CLAIM) == as_replay(FIRST)


async def test_another_body_is_refused_before_and_after_the_response(database: Database) -> None:
    """A key names one body, also while its request runs."""
    other = replace(CLAIM, digest=b"digest of another body")
    await claim(database)
    with pytest.raises(RequestIdReused):
        await replay(database, other, wait_seconds=10)
    await record(database, FIRST)
    with pytest.raises(RequestIdReused):
        await replay(database, other)


async def test_a_response_may_follow_from_other_rows(database: Database) -> None:
    """If no response is recorded, the caller finds it by the payment to which the claim leads."""
    await claim(database, payment_id=7)
    found: list[StoredClaim] = []

    async def find_response(stored: StoredClaim) -> bytes | None:
        found.append(stored)
        return b"found" if len(found) == 3 else None

    reply = await replay(database, CLAIM, wait_seconds=10, find_response=find_response)
    assert reply == RenderedResponse(201, b"found", is_replay=True)
    assert {(each.merchant_id, each.payment_id, each.transaction_id) for each in found} == {(1, 7, None)}


async def test_a_released_key_is_free(database: Database) -> None:
    """A released key may be claimed again; one that leads to a payment is not released by a request that made none."""
    await claim(database)
    async with database.transaction() as connection:
        await release_claim(connection, CLAIM)
    assert await claim(database, payment_id=7)
    async with database.transaction() as connection:
        await release_claim(connection, CLAIM)
    assert not await claim(database)


async def test_an_expired_claim_is_taken_over_by_an_equal_request(database: Database) -> None:
    """A claim without a response is taken over after its lease, once, by a request with the same body."""
    await claim(database)

    async def take_over(key: Claim | None, *, seconds: float) -> bool:
        async with database.transaction() as connection:
            return await take_over_claim(connection, key, lease_seconds=seconds)

    assert not await take_over(CLAIM, seconds=60)
    assert not await take_over(replace(CLAIM, digest=b"digest of another body"), seconds=0)
    assert not await take_over(None, seconds=0)
    async with database.transaction() as connection:
        await connection.execute("update request_claim set created_at = created_at - interval '1 minute'")
    assert [await take_over(CLAIM, seconds=30) for _ in range(2)] == [True, False]
    await record(database, FIRST)
    assert not await take_over(CLAIM, seconds=0)
