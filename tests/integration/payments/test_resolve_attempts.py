"""Resolving attempts with unknown outcomes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.acquirer import Plan, ScriptedAcquirer, approve
from tests.support.due import reverse_due
from tests.support.shop import PATIENT, Shop, all_at_once, claim, open_shop

from tollhouse.acquirers.model import Approved, Declined, NotSent, ReferenceUnknown, Reversed, Unknown
from tollhouse.kernel.money import Money
from tollhouse.payments.model import AttemptState, Payment, Status
from tollhouse.payments.resolve.resolve_attempts import lease_due, resolve_attempt
from tollhouse.payments.reversals import choose_inquiry_interval
from tollhouse.storage.database import Database
from tollhouse.worker.payments import resolve_due


async def lost(shop: Shop, *, answer: bool = True, outcome: Any = None) -> Payment:
    """Pay, and drop the response or the request in the network."""
    shop.acquirer.plan(Plan(outcome, lost="answer" if answer else "request"))
    paid = await shop.pay(claim=claim("r1"))
    assert paid.outcome == ("pending", "0")
    return await shop.stored(paid.transaction_id)


async def age(shop: Shop, seconds: float) -> None:
    """Make attempts older, and due."""
    await shop.value(
        """
        update open_attempt set sent_at = sent_at - $1::interval, resolve_at = now() - interval '1s'
        where resolve_at is not null
        """,
        timedelta(seconds=seconds),
    )


async def events(shop: Shop) -> list[str]:
    """Return the statuses of all events."""
    return [row["status"] for row in await shop.fetch("select status from event order by position")]


# A crash between the two steps


@pytest.mark.parametrize(
    ("booked", "status", "code"),
    [(approve("x"), "success", "0"), (Declined("51"), "fail", "5051"), (Reversed(), "fail", "1041")],
)
async def test_a_crash_is_resolved_by_an_inquiry(shop: Shop, booked: Any, status: str, code: str) -> None:
    """An attempt left in flight is finished by an inquiry, with card, event and response."""
    payment = await shop.begin(claim=claim("r1"))
    shop.acquirer.books[payment.attempt.reference] = booked
    settled = await shop.resolve(payment.transaction_id)
    assert (settled.status, settled.code, await events(shop)) == (status, code, [status])
    assert await shop.value("select count(*) from account") == (status == "success")
    assert (await shop.pay(claim=claim("r1"))).outcome == (status, code)
    assert shop.acquirer.count("authorize") == 1


async def test_an_unknown_reference_counts_only_after_the_longest_delay(shop: Shop) -> None:
    """That the acquirer does not know a reference is certain only after its longest delay."""
    payment = await shop.begin()
    shop.acquirer.longest_delay_seconds = 40
    assert (await shop.resolve(payment.transaction_id)).attempt.state is AttemptState.IN_FLIGHT
    await age(shop, 39)
    assert (await shop.resolve(payment.transaction_id)).status is Status.PENDING
    await age(shop, 2)
    settled = await shop.resolve(payment.transaction_id)
    assert (settled.code, settled.attempt.state) == ("1040", AttemptState.DECLINED)
    assert shop.acquirer.count("authorize") == 1
    assert await events(shop) == ["fail"]


async def test_a_delayed_request_is_found(shop: Shop) -> None:
    """A request that the acquirer processes late is found by a later inquiry."""
    shop.acquirer.longest_delay_seconds = 40
    shop.acquirer.plan(Plan(late=True))
    paid = await shop.pay()
    payment = await shop.resolve(paid.transaction_id)
    assert payment.status is Status.PENDING
    shop.acquirer.arrive(payment.attempt.reference)
    assert (await shop.resolve(paid.transaction_id)).status is Status.SUCCESS


# Unknown


async def test_a_lost_response_is_resolved(shop: Shop) -> None:
    """The client gets `pending`, the event the outcome; the recorded response stays `pending`."""
    payment = await lost(shop)
    assert payment.attempt.state is AttemptState.UNKNOWN
    assert await events(shop) == []
    assert (await shop.resolve(payment.transaction_id)).status is Status.SUCCESS
    assert await events(shop) == ["success"]
    assert (await shop.pay(claim=claim("r1"))).outcome == ("pending", "0")


async def test_a_lost_request_fails(shop: Shop) -> None:
    """A request that never arrived is `fail` 1040 and is not sent again."""
    payment = await lost(shop, answer=False)
    settled = await shop.resolve(payment.transaction_id)
    assert (settled.code, shop.acquirer.count("authorize"), shop.acquirer.charged) == ("1040", 1, [])


async def test_unknown_outcomes_are_queried_at_growing_intervals(shop: Shop) -> None:
    """An open outcome is queried after 2 s, then 10 s, 60 s and every five minutes."""
    payment = await lost(shop)
    shop.acquirer.find(Unknown("silence"), NotSent("refused"), Unknown("silence"), Unknown("silence"))
    pauses = []
    for _ in range(5):
        left = await shop.value(
            "select extract(epoch from resolve_at - now()) from attempt where resolve_at is not null"
        )
        pauses.append(left and round(float(left)))
        await shop.resolve(payment.transaction_id)
    assert pauses == [2, 10, 60, 300, 300]
    assert (await shop.stored(payment.transaction_id)).status is Status.SUCCESS
    assert [choose_inquiry_interval(n) for n in range(5)] == [10, 60, 300, 300, 300]


async def test_an_unknown_outcome_is_reversed_after_the_time_out(shop: Shop) -> None:
    """Without a response for 15 minutes the attempt is reversed, repeatedly until acknowledged."""
    payment = await lost(shop)
    await age(shop, PATIENT.reversal + 1)
    shop.acquirer.find(Unknown("silence"), Unknown("silence"), NotSent("refused"), Reversed())
    assert (await shop.resolve(payment.transaction_id)).attempt.state is AttemptState.REVERSING
    assert (await shop.resolve(payment.transaction_id)).attempt.state is AttemptState.REVERSING
    settled = await shop.resolve(payment.transaction_id)
    assert (settled.code, settled.attempt.state) == ("1041", AttemptState.REVERSED)
    assert (shop.acquirer.count("inquire"), shop.acquirer.count("reverse")) == (1, 3)
    assert await events(shop) == ["fail"]


async def test_an_approval_after_the_time_out_counts(shop: Shop) -> None:
    """An explicit response after the time for reversal still counts, and nothing is reversed."""
    payment = await lost(shop)
    await age(shop, PATIENT.reversal + 1)
    assert (await shop.resolve(payment.transaction_id)).status is Status.SUCCESS
    assert shop.acquirer.count("reverse") == 0


async def test_without_inquiries_the_attempt_is_reversed(shop: Shop) -> None:
    """If the acquirer has no inquiries, the attempt is reversed at once."""
    shop.acquirer.resolves_by = "reverse"
    payment = await lost(shop)
    settled = await shop.resolve(payment.transaction_id)
    assert (settled.code, shop.acquirer.charged) == ("1041", [])
    assert shop.acquirer.count("inquire") == 0


async def test_a_late_approval_never_revives(shop: Shop) -> None:
    """After a reversal a late response changes neither client, ledger nor event."""
    shop.acquirer.resolves_by = "reverse"
    held, paying = await shop.start(claim=claim("r1"))
    transaction_id = await shop.value("select transaction_id from transaction")
    assert (await shop.resolve(transaction_id)).code == "1041"
    shop.acquirer.books.clear()  # the worst acquirer: it forgot the reversal and approves
    held.set()
    assert (await paying).outcome == ("fail", "1041")
    settled = await shop.stored(transaction_id)
    assert (settled.status, settled.attempt.state, await events(shop)) == ("fail", "reversed", ["fail"])
    assert await shop.value("select count(*) from account") == 0
    assert shop.acquirer.charged == [settled.attempt.reference]
    await reverse_due(shop.parts.attempts)
    assert shop.acquirer.charged == []


# Races


async def test_the_response_and_the_inquiry_agree(shop: Shop) -> None:
    """If response and inquiry arrive at the same time, one is written and both return it."""
    for _ in range(10):
        held, paying = await shop.start()
        reference = shop.acquirer.asked[-1].reference
        transaction_id = int(reference.partition("-")[0])
        shop.acquirer.books[reference] = approve(reference)
        held.set()
        await asyncio.gather(
            paying,
            *(resolve_attempt(shop.parts.attempts, merchant_id=1, transaction_id=transaction_id) for _ in range(3)),
        )
        assert (await paying).outcome == ("success", "0")
    assert await events(shop) == ["success"] * 10


async def test_of_contradicting_responses_the_first_counts(shop: Shop) -> None:
    """If an acquirer sends two different responses, the first counts."""
    held, paying = await shop.start(outcome=Declined("05"))
    transaction_id = int(shop.acquirer.asked[-1].reference.partition("-")[0])
    shop.acquirer.find(approve("x"))
    await resolve_attempt(shop.parts.attempts, merchant_id=1, transaction_id=transaction_id)
    held.set()
    assert (await paying).outcome == ("success", "0")
    assert await events(shop) == ["success"]


async def test_concurrent_resolvers_finish_a_payment_once(shop: Shop, other_process: Shop) -> None:
    """Several resolvers in two processes finish a payment once."""
    payment = await lost(shop)
    both = (shop, other_process)
    work = [
        resolve_attempt(each.parts.attempts, merchant_id=1, transaction_id=payment.transaction_id)
        for each in both
        for _ in range(4)
    ]
    assert await all_at_once(*work) == [None] * 8
    assert await events(shop) == ["success"]


async def test_a_due_attempt_is_leased_once(shop: Shop, other_process: Shop) -> None:
    """One resolver leases a due attempt until its lease ends; others are not leased before they are due."""
    for n in range(5):
        shop.acquirer.plan(Plan(lost="answer"))
        await shop.pay(metadata=f'{{"n": {n}}}')
    assert await lease_due(shop.parts.attempts, limit=10, lease_seconds=60) == []
    await age(shop, 0)
    both = (shop, other_process)
    leased = await asyncio.gather(
        *(lease_due(each.parts.attempts, limit=2, lease_seconds=60) for each in both for _ in range(3))
    )
    taken = [key for keys in leased for key in keys]
    assert len(taken) == len(set(taken)) == 5
    assert await lease_due(shop.parts.attempts, limit=10, lease_seconds=60) == []


async def test_the_worker_resolves_everything_that_is_due(shop: Shop) -> None:
    """One run resolves more than a batch, and a failing attempt delays no other."""
    for n in range(53):
        shop.acquirer.plan(Plan(lost="answer"))
        await shop.pay(metadata=f'{{"n": {n}}}', external_id=f"user-{n % 7}")
    await shop.value(
        "update open_attempt set acquirer = 'gone' where transaction_id in (select transaction_id from attempt limit 2)"
    )
    await age(shop, 0)
    assert await resolve_due(shop.parts.attempts) == 53
    assert await shop.value("select count(*) from transaction where status = 'success'") == 51
    assert len(await events(shop)) == 51


async def test_an_attempt_waits_for_its_acquirer(shop: Shop) -> None:
    """An attempt at an acquirer that is not configured stays open until it is."""
    payment = await lost(shop)
    without = replace(shop, parts=replace(shop.parts, acquirers={}))
    assert (await without.resolve(payment.transaction_id)).status is Status.PENDING
    assert (await shop.resolve(payment.transaction_id)).status is Status.SUCCESS


async def test_a_crash_before_a_payment_without_route_was_refused(shop: Shop) -> None:
    """A payment without an acquirer ends as `fail` 1030, also after a crash."""
    payment = await shop.begin()
    await shop.value("update open_attempt set acquirer = 'none'")
    settled = await shop.resolve(payment.transaction_id)
    assert (settled.code, await events(shop)) == ("1030", ["fail"])


async def test_a_final_payment_is_not_queried(shop: Shop) -> None:
    """Finished and unknown payments are not queried."""
    paid = await shop.pay()
    await shop.resolve(paid.transaction_id)
    await resolve_attempt(shop.parts.attempts, merchant_id=1, transaction_id=1)
    await resolve_attempt(shop.parts.attempts, merchant_id=2, transaction_id=paid.transaction_id)
    assert shop.acquirer.count("inquire") == 0


async def test_an_attempt_that_is_still_asked_for_is_not_due(shop: Shop) -> None:
    """An attempt is not due before the acquirer's time-out and a margin have passed."""
    shop.acquirer.timeout_seconds = 30
    held, paying = await shop.start()
    left = await shop.value("select extract(epoch from resolve_at - now()) from attempt")
    assert 28 < float(left) <= 30
    held.set()
    await paying
    assert await shop.value("select resolve_at from attempt") is None


# Slow and silent acquirers


async def test_a_slow_payment_is_pending(shop: Shop) -> None:
    """The client gets `pending` in time, the payment continues, and the event reports its outcome."""
    held, paying = await shop.hasty.start(claim=claim("r1"))
    paid = await paying
    assert paid.outcome == ("pending", "0")
    held.set()
    await shop.quiet()
    assert (await shop.stored(paid.transaction_id)).status is Status.SUCCESS
    assert await events(shop) == ["success"]


@pytest.mark.parametrize("plan", [Plan(not_sent=True)])
async def test_an_unsent_payment_fails_at_once(shop: Shop, plan: Plan) -> None:
    """A payment that the acquirer certainly did not get is `fail` 1040 at once."""
    shop.acquirer.plan(plan)
    paid = await shop.pay()
    assert paid.outcome == ("fail", "1040")
    assert await shop.value("select state::text from attempt") == "not_sent"
    assert await events(shop) == ["fail"]


async def test_a_defect_in_a_connector_leaves_the_payment_open(shop: Shop) -> None:
    """The client gets an internal error, and the resolver determines the outcome."""
    shop.acquirer.plan(Plan(error=RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        await shop.pay(claim=claim("r1"))
    [row] = await shop.fetch("select transaction_id, state::text from attempt")
    assert row["state"] == "in_flight"
    assert (await shop.resolve(row["transaction_id"])).code == "1040"


async def test_no_connection_is_held_while_the_acquirer_is_asked(shop: Shop, database_dsn: str) -> None:
    """With a single connection twenty payments wait for the acquirer while another is written and read."""
    database = await Database.connect(database_dsn, schema="gateway", max_size=1)
    single = open_shop(database, shop.acquirer)
    started = [await single.start(metadata=f'{{"n": {n}}}') for n in range(20)]
    assert database._pool.get_idle_size() == database._pool.get_size() == 1  # noqa: SLF001 - the pool of the driver
    async with asyncio.timeout(2):
        assert (await single.pay()).outcome == ("success", "0")
    for held, _ in started:
        held.set()
    assert {(await paying).outcome for _, paying in started} == {("success", "0")}
    await single.quiet()
    await database.close()


async def test_inquiries_hold_no_connection_either(shop: Shop, database_dsn: str) -> None:
    """While a resolver waits for an acquirer, its connection is free."""
    payment = await lost(shop)
    is_called = asyncio.Event()

    class Slow(ScriptedAcquirer):
        async def inquire(self, reference: str, money: Money) -> Approved | ReferenceUnknown:
            del money
            is_called.set()
            await asyncio.sleep(0.05)
            return approve(reference)

    database = await Database.connect(database_dsn, schema="gateway", max_size=1)
    single = open_shop(database, Slow())
    resolving = asyncio.create_task(single.resolve(payment.transaction_id))
    await is_called.wait()
    assert database._pool.get_idle_size() == 1  # noqa: SLF001 - the pool of the driver
    assert (await resolving).status is Status.SUCCESS
    await database.close()
