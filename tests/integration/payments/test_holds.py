"""Holds: captured once when they are due, released when they expire."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.integration.payments.test_crash import contradictions
from tests.support.acquirer import Plan, approve
from tests.support.clock import leap
from tests.support.shop import Paid, Shop, all_at_once

from tollhouse.acquirers.model import Declined
from tollhouse.kernel.errors import Invalid, RequestInProgress
from tollhouse.payments.operations.holds import MAX_TRIES, choose_retry_interval, lease_due_holds, process_due_hold
from tollhouse.worker.payments import process_due_holds

DONE = """
    select t.mode::text, t.status::text, t.amount_minor, o.cause::text
    from transaction t left join operation o using (merchant_id, transaction_id)
    order by t.created_at
"""
AUTHORIZED = ("auth", "success", 1999, None)
CAPTURED = ("capture", "success", 1999, "schedule")
RELEASED = ("void", "success", 1999, "expiry")


async def done(shop: Shop) -> list[tuple[Any, ...]]:
    """Return the operations in the order of their begin."""
    return [tuple(row) for row in await shop.fetch(DONE)]


async def advance(shop: Shop, days: int) -> None:
    """Advance the merchant's clock."""
    await advance_seconds(shop, days * 86_400)


async def advance_seconds(shop: Shop, seconds: int) -> None:
    """Advance the merchant's clock a little."""
    await leap(shop.parts.database, 1, shop.parts.clock, seconds=seconds)


async def until_operated(shop: Shop, count: int = 1) -> None:
    """Wait until the acquirer got so many operations."""
    async with asyncio.timeout(10):
        while len(shop.acquirer.operated) < count:  # noqa: ASYNC110 - it happens in another task
            await asyncio.sleep(0.002)


async def test_a_due_authorization_is_captured_once(shop: Shop) -> None:
    """A due authorization is captured once by the merchant's clock, with an event, and its hold is deleted."""
    paid = await shop.authorize("3d")
    [row] = await shop.fetch(
        """
        select h.capture_at - s.second as after, h.expires_at - s.second as life, h.due_at = h.capture_at as due
        from authorization_hold h
        join transaction t using (merchant_id, transaction_id)
        cross join lateral (select date_trunc('second', t.finished_at) as second) as s
        """
    )
    assert (row["after"].days, row["life"].days, row["due"]) == (3, 7, True)
    await advance(shop, 2)
    assert await process_due_holds(shop.parts.operations) == 0
    await advance(shop, 1)
    assert await process_due_holds(shop.parts.operations) == 1
    assert await done(shop) == [AUTHORIZED, CAPTURED]
    assert await process_due_holds(shop.parts.operations) == 0
    assert await shop.value("select count(*) from authorization_hold") == 0
    events = await shop.fetch("select kind, payment_id from event order by position")
    assert [event["kind"] for event in events] == ["auth", "settle"]
    assert {event["payment_id"] for event in events} == {int(paid.payment["orderId"])}
    assert await contradictions(shop) == []


async def test_real_time_decides_without_a_clock(shop: Shop) -> None:
    """If the merchant's clock was never advanced, real time decides."""
    await shop.authorize("3d")
    await shop.value("update authorization_hold set capture_at = now(), due_at = now()")
    assert await process_due_holds(shop.parts.operations) == 1
    assert await done(shop) == [AUTHORIZED, CAPTURED]


async def test_an_expired_authorization_is_voided(shop: Shop) -> None:
    """An uncaptured authorization is released by a void with an event, also if its capture was missed."""
    paid = await shop.authorize("3d")
    await advance(shop, 7)
    with pytest.raises(Invalid, match="The request is invalid"):
        await shop.capture(paid.transaction_id)
    assert await process_due_holds(shop.parts.operations) == 1
    assert await done(shop) == [AUTHORIZED, RELEASED]
    assert await shop.value("select kind || status from event order by position desc limit 1") == "voidsuccess"
    assert await shop.value("select count(*) from authorization_hold") == 0


@pytest.mark.parametrize("by", ["capture", "void"])
async def test_an_operation_by_the_merchant_ends_the_hold(shop: Shop, by: str) -> None:
    """An authorization that the merchant captured or voided has no hold."""
    paid = await shop.authorize("3d")
    await (shop.capture(paid.transaction_id, "5.00") if by == "capture" else shop.void(paid.transaction_id))
    await advance(shop, 30)
    assert await process_due_holds(shop.parts.operations) == 0
    assert len(await done(shop)) == 2


async def test_two_workers_capture_once(shop: Shop, other_process: Shop) -> None:
    """Several workers in two processes capture each authorization once."""
    for n in range(12):
        await shop.authorize("3d", metadata=f'{{"n": {n}}}')
    await advance(shop, 3)
    both = (shop, other_process)
    looked = await asyncio.gather(*(process_due_holds(each.parts.operations) for each in both for _ in range(3)))
    assert sum(looked) == 12
    assert await done(shop) == [AUTHORIZED] * 12 + [CAPTURED] * 12


async def test_an_expired_lease_captures_nothing_twice(shop: Shop, other_process: Shop) -> None:
    """A worker with an expired lease captures nothing twice, and postpones no hold that another has leased."""
    await shop.authorize("3d")
    await advance(shop, 3)
    [stale] = await lease_due_holds(shop.parts.operations, limit=5, lease_seconds=0)
    [fresh] = await lease_due_holds(other_process.parts.operations, limit=5, lease_seconds=60)
    assert await lease_due_holds(shop.parts.operations, limit=5, lease_seconds=60) == []
    shop.acquirer.plan(Plan(lost="answer"))
    await process_due_hold(shop.parts.operations, stale)
    assert await shop.value("select tries from authorization_hold") == 0
    await process_due_hold(other_process.parts.operations, fresh)
    assert await shop.value("select tries from authorization_hold") == 1
    assert len(shop.acquirer.operated) == 1
    await shop.resolve(await shop.value("select transaction_id from transaction where mode = 'capture'"))
    assert await done(shop) == [AUTHORIZED, CAPTURED]
    assert await shop.value("select count(*) from authorization_hold") == 0


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_capture_survives_a_dead_worker(shop: Shop, other_process: Shop, *, arrived: bool) -> None:
    """After a crash during the acquirer call the next worker waits for the outcome, and captures if there is none."""
    await shop.authorize("3d")
    await advance(shop, 3)
    shop.acquirer.plan(Plan(hold=asyncio.Event()))
    working = asyncio.create_task(process_due_holds(shop.parts.operations))
    await until_operated(shop)
    await shop.die()
    await asyncio.gather(working, return_exceptions=True)
    await shop.value("update authorization_hold set lease_until = now()")
    assert await process_due_holds(other_process.parts.operations) == 1
    assert len(shop.acquirer.operated) == 1
    reference = shop.acquirer.operated[0][1].reference
    if arrived:
        shop.acquirer.books[reference] = approve(reference)
    await other_process.resolve(int(reference.partition("-")[0]))
    await advance(shop, 1)
    assert await process_due_holds(other_process.parts.operations) == (0 if arrived else 1)
    failed = [] if arrived else [("capture", "fail", 1999, "schedule")]
    assert await done(shop) == [AUTHORIZED, *failed, CAPTURED]


async def test_a_declined_capture_is_not_repeated(shop: Shop) -> None:
    """A declined capture is not tried again; the authorization is released when it expires."""
    await shop.authorize("3d")
    await advance(shop, 3)
    shop.acquirer.plan(Plan(Declined("57")))
    assert await process_due_holds(shop.parts.operations) == 1
    await advance(shop, 3)
    assert await process_due_holds(shop.parts.operations) == 0
    await advance(shop, 1)
    assert await process_due_holds(shop.parts.operations) == 1
    assert await done(shop) == [AUTHORIZED, ("capture", "fail", 1999, "schedule"), RELEASED]


async def test_an_unsent_capture_is_repeated(shop: Shop) -> None:
    """A capture that was certainly not sent is tried again at growing intervals."""
    await shop.authorize("3d")
    await advance(shop, 3)
    shop.acquirer.plan(Plan(not_sent=True), Plan(not_sent=True))
    assert await process_due_holds(shop.parts.operations) == 1
    for seconds in (60, 600):
        await advance_seconds(shop, seconds - 30)
        assert await process_due_holds(shop.parts.operations) == 0
        await advance_seconds(shop, 60)
        assert await process_due_holds(shop.parts.operations) == 1
    assert (await done(shop))[-1] == CAPTURED
    assert [choose_retry_interval(n) for n in (2, 3, 9)] == [3_600, 21_600, 21_600]


@pytest.mark.parametrize(("plan", "left"), [(Plan(Declined("12")), 0), (Plan(not_sent=True), 1)])
async def test_a_declined_release_is_the_last(shop: Shop, plan: Plan, left: int) -> None:
    """A declined release is not repeated; one that was not sent is repeated a limited number of times."""
    await shop.authorize("3d")
    await advance(shop, 8)
    shop.acquirer.plan(plan)
    assert await process_due_holds(shop.parts.operations) == 1
    assert await shop.value("select count(*) from authorization_hold") == left
    await shop.value("update authorization_hold set tries = $1, due_at = now()", MAX_TRIES)
    shop.acquirer.plan(plan)
    await process_due_holds(shop.parts.operations)
    assert await shop.value("select count(*) from authorization_hold") == 0


async def test_a_capture_and_a_release_exclude_each_other(shop: Shop, other_process: Shop) -> None:
    """Of a concurrent capture and release one succeeds, and a captured authorization is not released."""
    for n in range(6):
        paid = await shop.authorize("3d", metadata=f'{{"n": {n}}}')
        await shop.value("update authorization_hold set capture_at = null, due_at = now()")
        [hold] = await lease_due_holds(other_process.parts.operations, limit=1, lease_seconds=60)
        expired = replace(hold, is_expired=True)
        work = (shop.capture(paid.transaction_id), process_due_hold(other_process.parts.operations, expired))
        result = await all_at_once(*work if n % 2 else reversed(work))
        assert isinstance(result[0 if n % 2 else 1], Paid | Invalid | RequestInProgress)
        successes = [each for each in (await done(shop))[-1:] if each[1] == "success"]
        assert successes
        await shop.value("delete from authorization_hold")
    assert len(await done(shop)) == 12
