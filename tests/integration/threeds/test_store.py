"""Rows of authentications: every change of state has one winner."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.support.callbacks import insert_merchants
from tests.support.clock import leap

from tollhouse.storage.database import Database
from tollhouse.threeds import store
from tollhouse.threeds.model import (
    Authentication,
    AuthenticationResponse,
    AuthenticationState,
    BrowserData,
    ChallengeResult,
    TransStatus,
)

MERCHANT = 7
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
CAVV = "A" * 27 + "="
BROWSER = BrowserData("text/html", "Mozilla/5.0", "en", "203.0.113.45", True, False, 24, 1080, 1920, -330)  # noqa: FBT003


def draft(**changes: Any) -> Authentication:
    """Build an authentication with ids of its own."""
    authentication_id = uuid4()
    fields: dict[str, Any] = {
        "merchant_id": MERCHANT,
        "authentication_id": authentication_id,
        "series_id": authentication_id,
        "payment_id": 1,
        "transaction_id": 2,
        "attempt_number": 1,
        "number": 1,
        "state": AuthenticationState.COLLECTING,
        "page_digest": authentication_id.bytes * 2,
        "return_digest": authentication_id.bytes * 2,
        "three_ds_server_trans_id": uuid4(),
        "version": "2.2.0",
        "method_url": None,
        "challenge_indicator": "01",
        "created_at": NOW,
        "expires_at": NOW + timedelta(days=9999),
        "due_at": NOW + timedelta(days=9999),
    }
    return Authentication(**(fields | changes))


def challenged(**changes: Any) -> Authentication:
    """Build an authentication whose ARes said C."""
    ids = {"acs_trans_id": uuid4(), "ds_trans_id": uuid4()}
    return draft(
        state=AuthenticationState.CHALLENGED, trans_status="C", acs_url="https://acs.example", **ids, **changes
    )


def result_of(authentication: Authentication, status: str = "Y") -> ChallengeResult:
    """Build the result of a challenge."""
    is_proof = status in "YA"
    return ChallengeResult(
        version="2.2.0",
        three_ds_server_trans_id=authentication.three_ds_server_trans_id,
        acs_trans_id=authentication.acs_trans_id or UUID(int=0),
        ds_trans_id=authentication.ds_trans_id or UUID(int=0),
        status=TransStatus(status),
        reason=None,
        eci="05" if is_proof else None,
        cavv=CAVV if is_proof else None,
        challenge_cancel=None,
    )


async def insert(database: Database, *authentications: Authentication) -> None:
    """Store authentications."""
    async with database.transaction() as connection:
        await store.insert_authentications(connection, authentications)


async def race(database: Database, change: Callable[[Any], Awaitable[Any]], *, times: int = 6) -> list[Any]:
    """Do a change several times at once, each on a connection of its own, and return what was not None."""

    async def once() -> Any:
        async with database.acquire() as connection:
            return await change(connection)

    found = await asyncio.gather(*(once() for _ in range(times)))
    return [outcome for outcome in found if outcome is not None]


async def test_a_row_comes_back_as_it_went(database: Database) -> None:
    """Every column has its field, to the microsecond and the byte; a repeated insert changes nothing."""
    row = challenged(browser=BROWSER, requested_at=NOW, answered_at=NOW, method_url="https://m.example")
    await insert(database, row, draft())
    await insert(database, replace(row, version="changed"))
    async with database.acquire() as connection:
        assert await store.select_by_page(connection, row.page_digest) == row
        assert await store.select_by_return(connection, row.return_digest) == row
        assert await store.select_by_trans_id(connection, row.three_ds_server_trans_id) == row
        assert await store.select_by_page(connection, bytes(32)) is None


async def test_one_browser_is_taken(database: Database) -> None:
    """Of several tabs that submit at once, one may send the AReq."""
    row = draft()
    await insert(database, row)
    won = await race(database, lambda connection: store.update_requested(connection, row, BROWSER))
    assert [(found.state, found.browser) for found in won] == [("requested", BROWSER)]


async def test_one_answer_is_taken(database: Database) -> None:
    """The ARes is written once, with everything that it said."""
    row = draft(state=AuthenticationState.REQUESTED)
    await insert(database, row)
    answer = AuthenticationResponse(TransStatus.AUTHENTICATED, "01", UUID(int=1), UUID(int=2), None, "05", CAVV)
    won = await race(
        database, lambda connection: store.update_answered(connection, row, answer, AuthenticationState.PASSED)
    )
    assert [(found.state, found.cavv, found.ds_trans_id) for found in won] == [("passed", CAVV, UUID(int=2))]
    assert won[0].result_at is not None
    assert won[0].due_at < row.due_at


async def test_first_result_wins(database: Database) -> None:
    """Of several different results of a challenge the first one is stored."""
    row = challenged()
    await insert(database, row)
    passing, failing = result_of(row), result_of(row, "N")
    ends = [
        lambda connection: store.update_result(connection, row, passing, AuthenticationState.PASSED),
        lambda connection: store.update_result(connection, row, failing, AuthenticationState.FAILED),
        lambda connection: store.update_abandoned(connection, row),
    ]
    found = await asyncio.gather(*(race(database, end, times=2) for end in ends))
    won = [outcome for outcomes in found for outcome in outcomes]
    assert len(won) == 1
    assert won[0].state.is_decided


async def test_a_lapsed_challenge_has_no_result(database: Database) -> None:
    """The ACS gave up waiting, and the time in which the cardholder may come runs on."""
    row = challenged()
    await insert(database, row)
    async with database.acquire() as connection:
        lapsed = await store.update_result(connection, row, result_of(row, "N"), AuthenticationState.LAPSED)
    assert lapsed is not None
    assert (lapsed.state, lapsed.result_at, lapsed.due_at) == ("lapsed", None, row.due_at)


async def test_one_successor(database: Database) -> None:
    """Of several that begin anew, one takes the place; the page leads to it and the old return still to the old one."""
    row = challenged()
    await insert(database, row)

    async def replace_it(connection: Any) -> Authentication | None:
        successor = draft(series_id=row.series_id, page_digest=row.page_digest, number=2)
        async with connection.transaction():
            return successor if await store.supersede(connection, row, successor) else None

    [successor] = await race(database, replace_it)
    async with database.acquire() as connection:
        assert await store.select_by_page(connection, row.page_digest) == successor
        newest = await store.select_newest(connection, merchant_id=MERCHANT, transaction_id=2)
        old = await store.select_by_return(connection, row.return_digest)
    assert newest == successor
    assert old is not None
    assert (old.state, old.due_at) == ("superseded", None)


async def test_due_authentication_is_leased_once(database: Database) -> None:
    """Concurrent sweeps share the work, in bounds; an expired lease releases it."""
    await insert_merchants(database, [MERCHANT])
    await insert(database, *(draft(due_at=NOW) for _ in range(5)), draft())

    async def lease(connection: Any) -> list[Authentication]:
        return [row for row, _ in await store.lease_due_authentications(connection, limit=3, lease_seconds=60)]

    leased = await race(database, lease, times=3)
    assert sum(map(len, leased)) == 5
    assert max(map(len, leased)) == 3
    async with database.acquire() as connection:
        assert await lease(connection) == []
        await connection.execute("update authentication set lease_until = now()")
        again = await lease(connection)
        for authentication in again:
            await store.update_concluded(connection, authentication)
        assert len(await lease(connection)) == 2


async def test_due_time_follows_the_merchants_clock(database: Database) -> None:
    """An authentication that is due by an advanced clock is leased with its offset; other merchants' are not."""
    await insert_merchants(database, [MERCHANT, 8])
    soon = datetime.now(UTC) + timedelta(days=2)
    own, other = draft(due_at=soon), draft(due_at=soon, merchant_id=8)
    await insert(database, own, other, draft(due_at=soon + timedelta(days=2)))
    await leap(database, MERCHANT, days=3)
    async with database.acquire() as connection:
        leased = await store.lease_due_authentications(connection, limit=9, lease_seconds=60)
        assert await store.lease_due_authentications(connection, limit=9, lease_seconds=60) == []
    assert [row.authentication_id for row, _ in leased] == [own.authentication_id]
    assert timedelta(days=2, hours=23) < leased[0][1] <= timedelta(days=3)


async def test_moments_that_count_once(database: Database) -> None:
    """When the CReq was handed out, and since when somebody waits, is said by the first time."""
    row = challenged()
    await insert(database, row)
    async with database.acquire() as connection:
        for change in (store.update_opened, store.update_waiting):
            first, again = await change(connection, row), await change(connection, row)
            assert first == again is not None
        await store.update_method_completed(connection, row.three_ds_server_trans_id)
        found = await store.select_by_trans_id(connection, row.three_ds_server_trans_id)
    assert found is not None
    assert found.method_completed_at is None


@pytest.mark.parametrize(
    "row",
    [
        draft(state=AuthenticationState.PASSED),
        draft(result_at=NOW),
        draft(cavv=CAVV, eci="05"),
        draft(page_digest=b"short"),
        draft(trans_status="Z"),
    ],
    ids=["decided without a time", "undecided with one", "proof without its id", "no digest", "no status"],
)
async def test_database_rejects_impossible_rows(database: Database, row: Authentication) -> None:
    """Constraints of the database reject impossible rows."""
    with pytest.raises(asyncpg.CheckViolationError):
        await insert(database, row)
