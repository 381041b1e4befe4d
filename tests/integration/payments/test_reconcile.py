"""Finding out what became of a payment whose outcome nobody wrote down."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.acquirer import Plan, ScriptedAcquirer, approve
from tests.support.shop import PATIENT, Shop, all_at_once, claim, open_shop

from tollhouse.acquirers.model import Approved, Declined, NotSent, ReferenceUnknown, Reversed, Unknown
from tollhouse.kernel.money import Money
from tollhouse.payments.model import AttemptState, Payment, Status
from tollhouse.payments.resolve.resolve_attempts import lease_due, resolve_attempt
from tollhouse.payments.reversals import choose_inquiry_interval
from tollhouse.storage.database import Database
from tollhouse.worker.payments import resolve_due, reverse_due


async def lost(shop: Shop, *, answer: bool = True, outcome: Any = None) -> Payment:
    """Pay, and have the network swallow the answer, or the request."""
    shop.acquirer.plan(Plan(outcome, lost="answer" if answer else "request"))
    paid = await shop.pay(claim=claim("r1"))
    assert paid.outcome == ("pending", "0")
    return await shop.stored(paid.transaction_id)


async def age(shop: Shop, seconds: float) -> None:
    """Let attempts be older than they are, and due."""
    await shop.value(
        """
        update open_attempt set sent_at = sent_at - $1::interval, resolve_at = now() - interval '1s'
        where resolve_at is not null
        """,
        timedelta(seconds=seconds),
    )


async def events(shop: Shop) -> list[str]:
    """Return the statuses of the events there are."""
    return [row["status"] for row in await shop.fetch("select status from event order by position")]


# A crash between the two steps


@pytest.mark.parametrize(
    ("booked", "status", "code"),
    [(approve("x"), "success", "0"), (Declined("51"), "fail", "5051"), (Reversed(), "fail", "1041")],
)
async def test_a_crash_is_settled_by_asking(shop: Shop, booked: Any, status: str, code: str) -> None:
    """An attempt left in flight is settled by what the acquirer says of its reference, with card, event and answer."""
    payment = await shop.begin(claim=claim("r1"))
    shop.acquirer.books[payment.attempt.reference] = booked
    settled = await shop.resolve(payment.transaction_id)
    assert (settled.status, settled.code, await events(shop)) == (status, code, [status])
    assert await shop.value("select count(*) from account") == (status == "success")
    assert (await shop.pay(claim=claim("r1"))).outcome == (status, code)
    assert shop.acquirer.count("authorize") == 1


async def test_nothing_is_believed_lost_too_early(shop: Shop) -> None:
    """That the acquirer knows nothing proves something only after its greatest delay."""
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


async def test_a_late_request_within_the_delay(shop: Shop) -> None:
    """A request that the acquirer processes late is found by a later inquiry."""
    shop.acquirer.longest_delay_seconds = 40
    shop.acquirer.plan(Plan(late=True))
    paid = await shop.pay()
    payment = await shop.resolve(paid.transaction_id)
    assert payment.status is Status.PENDING
    shop.acquirer.arrive(payment.attempt.reference)
    assert (await shop.resolve(paid.transaction_id)).status is Status.SUCCESS


# Unknown


async def test_a_lost_answer_is_found_out(shop: Shop) -> None:
    """The client gets pending, the resolver the truth, and the event tells it; the recorded answer stays pending."""
    payment = await lost(shop)
    assert payment.attempt.state is AttemptState.UNKNOWN
    assert await events(shop) == []
    assert (await shop.resolve(payment.transaction_id)).status is Status.SUCCESS
    assert await events(shop) == ["success"]
    assert (await shop.pay(claim=claim("r1"))).outcome == ("pending", "0")


async def test_a_lost_request_fails_in_the_end(shop: Shop) -> None:
    """A request that never arrived is `fail` 1040 and is not sent again."""
    payment = await lost(shop, answer=False)
    settled = await shop.resolve(payment.transaction_id)
    assert (settled.code, shop.acquirer.count("authorize"), shop.acquirer.charged) == ("1040", 1, [])


async def test_unknown_is_asked_about_again_and_again(shop: Shop) -> None:
    """After 2 s, then 10 s, 60 s and every five minutes an open outcome is asked about again."""
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


async def test_unknown_is_reversed_after_patience(shop: Shop) -> None:
    """Without an answer for a quarter of an hour the attempt is reversed, repeatedly until that is acknowledged."""
    payment = await lost(shop)
    await age(shop, PATIENT.reversal + 1)
    shop.acquirer.find(Unknown("silence"), Unknown("silence"), NotSent("refused"), Reversed())
    assert (await shop.resolve(payment.transaction_id)).attempt.state is AttemptState.REVERSING
    assert (await shop.resolve(payment.transaction_id)).attempt.state is AttemptState.REVERSING
    settled = await shop.resolve(payment.transaction_id)
    assert (settled.code, settled.attempt.state) == ("1041", AttemptState.REVERSED)
    assert (shop.acquirer.count("inquire"), shop.acquirer.count("reverse")) == (1, 3)
    assert await events(shop) == ["fail"]


async def test_an_approval_found_late_is_taken(shop: Shop) -> None:
    """Past the time for reversal an explicit answer still counts: nothing is reversed that is known."""
    payment = await lost(shop)
    await age(shop, PATIENT.reversal + 1)
    assert (await shop.resolve(payment.transaction_id)).status is Status.SUCCESS
    assert shop.acquirer.count("reverse") == 0


async def test_an_acquirer_that_cannot_be_asked(shop: Shop) -> None:
    """Where there is no inquiry the attempt is reversed at once."""
    shop.acquirer.resolves_by = "reverse"
    payment = await lost(shop)
    settled = await shop.resolve(payment.transaction_id)
    assert (settled.code, shop.acquirer.charged) == ("1041", [])
    assert shop.acquirer.count("inquire") == 0


async def test_a_late_approval_never_revives(shop: Shop) -> None:
    """When the answer comes after the reversal, the client and the books say reversed, and there is one event."""
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


async def test_the_answer_and_the_resolver_race(shop: Shop) -> None:
    """When answer and inquiry come at the same time, one is written and both tell the same."""
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


async def test_contradicting_answers(shop: Shop) -> None:
    """An acquirer that answers twice, and not the same, is believed once."""
    held, paying = await shop.start(outcome=Declined("05"))
    transaction_id = int(shop.acquirer.asked[-1].reference.partition("-")[0])
    shop.acquirer.find(approve("x"))
    await resolve_attempt(shop.parts.attempts, merchant_id=1, transaction_id=transaction_id)
    held.set()
    assert (await paying).outcome == ("success", "0")
    assert await events(shop) == ["success"]


async def test_two_resolvers_at_once(shop: Shop, other_process: Shop) -> None:
    """Any number of resolvers in two processes settle a payment once."""
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
    """What is due is taken by one resolver, which has it until its lease ends; what is not due is left alone."""
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


async def test_the_worker_settles_everything_that_is_due(shop: Shop) -> None:
    """One look of the worker settles more than a batch, and one that cannot be settled holds up no other."""
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


async def test_an_acquirer_that_is_not_configured(shop: Shop) -> None:
    """Nobody may say what an acquirer did that cannot be asked any more: the payment stays open until it can be."""
    payment = await lost(shop)
    without = replace(shop, parts=replace(shop.parts, acquirers={}))
    assert (await without.resolve(payment.transaction_id)).status is Status.PENDING
    assert (await shop.resolve(payment.transaction_id)).status is Status.SUCCESS


async def test_a_crash_before_a_payment_without_route_was_refused(shop: Shop) -> None:
    """A payment that no acquirer was chosen for ends as it would have: `fail` 1030."""
    payment = await shop.begin()
    await shop.value("update open_attempt set acquirer = 'none'")
    settled = await shop.resolve(payment.transaction_id)
    assert (settled.code, await events(shop)) == ("1030", ["fail"])


async def test_a_final_payment_is_left_alone(shop: Shop) -> None:
    """Nobody asks about what is settled, nor about what is not there."""
    paid = await shop.pay()
    await shop.resolve(paid.transaction_id)
    await resolve_attempt(shop.parts.attempts, merchant_id=1, transaction_id=1)
    await resolve_attempt(shop.parts.attempts, merchant_id=2, transaction_id=paid.transaction_id)
    assert shop.acquirer.count("inquire") == 0


async def test_an_attempt_that_is_still_asked_for_is_not_due(shop: Shop) -> None:
    """The resolver takes nothing before the acquirer's time-out and a margin have passed."""
    shop.acquirer.timeout_seconds = 30
    held, paying = await shop.start()
    left = await shop.value("select extract(epoch from resolve_at - now()) from attempt")
    assert 28 < float(left) <= 30
    held.set()
    await paying
    assert await shop.value("select resolve_at from attempt") is None


# Slow and silent acquirers


async def test_a_slow_acquirer(shop: Shop) -> None:
    """The client gets pending in time, the payment goes on, and the event tells its end."""
    held, paying = await shop.hasty.start(claim=claim("r1"))
    paid = await paying
    assert paid.outcome == ("pending", "0")
    held.set()
    await shop.quiet()
    assert (await shop.stored(paid.transaction_id)).status is Status.SUCCESS
    assert await events(shop) == ["success"]


@pytest.mark.parametrize("plan", [Plan(not_sent=True)])
async def test_a_refusing_acquirer(shop: Shop, plan: Plan) -> None:
    """An acquirer that surely did not get the request is `fail` 1040 at once."""
    shop.acquirer.plan(plan)
    paid = await shop.pay()
    assert paid.outcome == ("fail", "1040")
    assert await shop.value("select state::text from attempt") == "not_sent"
    assert await events(shop) == ["fail"]


async def test_a_connector_that_breaks(shop: Shop) -> None:
    """A defect in a connector is no answer: the client hears of a defect, and the resolver finds out."""
    shop.acquirer.plan(Plan(error=RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        await shop.pay(claim=claim("r1"))
    [row] = await shop.fetch("select transaction_id, state::text from attempt")
    assert row["state"] == "in_flight"
    assert (await shop.resolve(row["transaction_id"])).code == "1040"


async def test_no_connection_is_held_while_the_acquirer_is_asked(shop: Shop, database_dsn: str) -> None:
    """With a single connection twenty payments wait for the acquirer while another one is written and read."""
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
    """While a resolver waits for an acquirer, its connection serves others."""
    payment = await lost(shop)
    gate = asyncio.Event()

    class Slow(ScriptedAcquirer):
        async def inquire(self, reference: str, money: Money) -> Approved | ReferenceUnknown:
            del money
            gate.set()
            await asyncio.sleep(0.05)
            return approve(reference)

    database = await Database.connect(database_dsn, schema="gateway", max_size=1)
    single = open_shop(database, Slow())
    resolving = asyncio.create_task(single.resolve(payment.transaction_id))
    await gate.wait()
    assert database._pool.get_idle_size() == 1  # noqa: SLF001 - the pool of the driver
    assert (await resolving).status is Status.SUCCESS
    await database.close()
