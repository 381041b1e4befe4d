"""Authorizations that wait: captured once when their price says so, released when their time is over."""

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
    """Return what was done, in the order in which it was begun."""
    return [tuple(row) for row in await shop.fetch(DONE)]


async def advance(shop: Shop, days: int) -> None:
    """Advance the merchant's clock."""
    await advance_seconds(shop, days * 86_400)


async def advance_seconds(shop: Shop, seconds: int) -> None:
    """Advance the merchant's clock a little."""
    await leap(shop.parts.database, 1, shop.parts.clock, seconds=seconds)


async def until_operated(shop: Shop, count: int = 1) -> None:
    """Wait until the acquirer was asked so often for something else than an authorization."""
    async with asyncio.timeout(10):
        while len(shop.acquirer.operated) < count:  # noqa: ASYNC110 - it happens in another task
            await asyncio.sleep(0.002)


async def test_a_capture_that_falls_due(shop: Shop) -> None:
    """An authorization with an offset is captured by the merchant's clock, once, with an event, and waits no more."""
    paid = await shop.authorize("3d")
    [row] = await shop.fetch(
        """
        select h.capture_at - s.second as after, h.expires_at - s.second as life, h.due_at = h.capture_at as due
        from authorization_hold h
        join transaction t using (merchant_id, transaction_id)
        cross join lateral (select date_trunc('second', t.settled_at) as second) as s
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


async def test_a_capture_by_real_time(shop: Shop) -> None:
    """Where the merchant's clock was never advanced, real time decides."""
    await shop.authorize("3d")
    await shop.value("update authorization_hold set capture_at = now(), due_at = now()")
    assert await process_due_holds(shop.parts.operations) == 1
    assert await done(shop) == [AUTHORIZED, CAPTURED]


async def test_an_authorization_that_expires(shop: Shop) -> None:
    """What nobody captured in time is released by a void with an event, also when its capture was missed meanwhile."""
    paid = await shop.authorize("3d")
    await advance(shop, 7)
    with pytest.raises(Invalid, match="faulty"):
        await shop.capture(paid.transaction_id)
    assert await process_due_holds(shop.parts.operations) == 1
    assert await done(shop) == [AUTHORIZED, RELEASED]
    assert await shop.value("select kind || status from event order by position desc limit 1") == "voidsuccess"
    assert await shop.value("select count(*) from authorization_hold") == 0


@pytest.mark.parametrize("by", ["capture", "void"])
async def test_what_the_merchant_does_first(shop: Shop, by: str) -> None:
    """An authorization that the merchant captured or voided waits no more."""
    paid = await shop.authorize("3d")
    await (shop.capture(paid.transaction_id, "5.00") if by == "capture" else shop.void(paid.transaction_id))
    await advance(shop, 30)
    assert await process_due_holds(shop.parts.operations) == 0
    assert len(await done(shop)) == 2


async def test_two_workers_capture_once(shop: Shop, other_process: Shop) -> None:
    """Any number of workers in two processes capture each authorization once."""
    for n in range(12):
        await shop.authorize("3d", metadata=f'{{"n": {n}}}')
    await advance(shop, 3)
    both = (shop, other_process)
    looked = await asyncio.gather(*(process_due_holds(each.parts.operations) for each in both for _ in range(3)))
    assert sum(looked) == 12
    assert await done(shop) == [AUTHORIZED] * 12 + [CAPTURED] * 12


async def test_a_worker_whose_lease_ended(shop: Shop, other_process: Shop) -> None:
    """A worker that comes back after its lease captures nothing twice, and puts nothing off that another has leased."""
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
async def test_a_worker_that_dies(shop: Shop, other_process: Shop, *, arrived: bool) -> None:
    """Where a worker died while the acquirer was asked, the next wait for the outcome, and capture if there is none."""
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


async def test_a_capture_that_the_issuer_declines(shop: Shop) -> None:
    """A declined capture is not tried again; what is held is released when its time is over."""
    await shop.authorize("3d")
    await advance(shop, 3)
    shop.acquirer.plan(Plan(Declined("57")))
    assert await process_due_holds(shop.parts.operations) == 1
    await advance(shop, 3)
    assert await process_due_holds(shop.parts.operations) == 0
    await advance(shop, 1)
    assert await process_due_holds(shop.parts.operations) == 1
    assert await done(shop) == [AUTHORIZED, ("capture", "fail", 1999, "schedule"), RELEASED]


async def test_an_acquirer_that_cannot_be_reached(shop: Shop) -> None:
    """What surely never left is tried again after a pause, which grows."""
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
async def test_a_release_that_does_not_come_off(shop: Shop, plan: Plan, left: int) -> None:
    """A release that the issuer refuses is the last; one that was not sent is tried again, but not for ever."""
    await shop.authorize("3d")
    await advance(shop, 8)
    shop.acquirer.plan(plan)
    assert await process_due_holds(shop.parts.operations) == 1
    assert await shop.value("select count(*) from authorization_hold") == left
    await shop.value("update authorization_hold set tries = $1, due_at = now()", MAX_TRIES)
    shop.acquirer.plan(plan)
    await process_due_holds(shop.parts.operations)
    assert await shop.value("select count(*) from authorization_hold") == 0


async def test_a_capture_against_the_expiry(shop: Shop, other_process: Shop) -> None:
    """Of a capture and a release at once one is done, and nothing that was captured is released."""
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
