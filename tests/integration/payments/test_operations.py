"""Captures, voids and credits: each once, never more than there is, and none lost."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from tests.integration.payments.test_crash import contradictions
from tests.support.acquirer import Plan
from tests.support.shop import OTHER_MERCHANT, OTHER_NUMBER, Paid, Shop, all_at_once, claim, faults_in, price

from tollhouse.acquirers.model import Declined, Reversed, Unknown
from tollhouse.kernel.errors import Invalid, NotFound, RequestIdReused, RequestInProgress
from tollhouse.payments.model import AttemptState, Status

CREDITED = "select coalesce(sum(amount_minor), 0) from transaction where mode = 'credit' and status <> 'fail'"


async def faults_of(work: Any) -> dict[str, list[str]]:
    """Return the faults with which an operation is refused."""
    with pytest.raises(Invalid) as refused:
        await work
    return faults_in(refused.value)


async def modes(shop: Shop) -> list[tuple[str, str, int]]:
    """Return what was done, in the order in which it was begun."""
    rows = await shop.fetch("select mode::text, status::text, amount_minor from transaction order by created_at")
    return [tuple(row) for row in rows]


async def age(shop: Shop) -> None:
    """Let what is open be older than the acquirer's greatest delay."""
    await shop.value("update open_attempt set sent_at = sent_at - '1 hour'::interval where resolve_at is not null")


# What each does


async def test_a_capture_of_all(shop: Shop) -> None:
    """A capture takes what was authorized as a transaction of its own, told by an event of its own."""
    paid = await shop.authorize(metadata='{"cart": 7}')
    captured = await shop.capture(paid.transaction_id, request="r-capture")
    assert captured.payment | {"timestamp": None} == paid.payment | {
        "mode": "settle",
        "transactionId": captured.payment["transactionId"],
        "parentTransactionId": paid.payment["transactionId"],
        "timestamp": None,
    }
    assert captured.transaction_id != paid.transaction_id
    assert (captured.body["consumer"], captured.body["metadata"]) == (paid.body["consumer"], {"cart": 7})
    [(verb, sent)] = shop.acquirer.operated
    assert (verb, sent.original_reference) == ("capture", shop.acquirer.asked[0].reference)
    assert sent.money.amount_minor == 1999
    assert sent.reference == f"{captured.transaction_id}-1"
    events = await shop.fetch("select kind, status, request_id, body from event order by position")
    assert [(row["kind"], row["status"]) for row in events] == [("auth", "success"), ("settle", "success")]
    assert events[1]["request_id"] == "r-capture"
    assert events[1]["body"].startswith(captured.reply.body[:-1])
    assert await contradictions(shop) == []


async def test_a_capture_of_a_part(shop: Shop) -> None:
    """A capture of a part is the only one: the rest was released with it."""
    paid = await shop.authorize()
    captured = await shop.capture(paid.transaction_id, "5.00")
    assert (captured.outcome, captured.payment["amount"]) == (("success", "0"), 5)
    assert await faults_of(shop.capture(paid.transaction_id)) == {"transaction": ["was captured already"]}
    assert (await shop.credit(captured.transaction_id)).payment["amount"] == 5


@pytest.mark.parametrize("named", ["auth", "capture"])
async def test_a_capture_is_credited_by_either_id(shop: Shop, named: str) -> None:
    """A credit takes the id of the authorization or of its capture, and to the acquirer it is one of the capture."""
    paid = await shop.authorize()
    captured = await shop.capture(paid.transaction_id)
    credited = await shop.credit((paid if named == "auth" else captured).transaction_id, reason="Broken")
    told = credited.payment
    assert (told["action"], told["mode"], told["orderId"]) == ("credit", "refund", paid.payment["orderId"])
    assert told["parentTransactionId"] == captured.payment["transactionId"]
    assert shop.acquirer.operated[-1][1].original_reference == f"{captured.transaction_id}-1"
    [row] = await shop.fetch("select basis_mode::text, reason, cause::text from operation where reason is not null")
    assert tuple(row) == ("capture", "Broken", "request")


async def test_credits_until_nothing_is_left(shop: Shop) -> None:
    """A sale is credited in parts, without an amount by what is left, and never by more."""
    paid = await shop.pay()
    assert (await shop.credit(paid.transaction_id, "15.50")).outcome == ("success", "0")
    assert await faults_of(shop.credit(paid.transaction_id, "4.50")) == {
        "amount": ["is more than is left to credit, which is 4.49 USD"]
    }
    assert (await shop.credit(paid.transaction_id)).payment["amount"] == Decimal("4.49")
    assert await faults_of(shop.credit(paid.transaction_id)) == {
        "amount": ["is more than is left to credit, which is nothing"]
    }
    assert await shop.value(CREDITED) == 1999


async def test_a_declined_credit_frees_its_amount(shop: Shop) -> None:
    """An issuer may decline a credit: that is an answer with status fail, and the amount is left as it was."""
    paid = await shop.pay()
    shop.acquirer.plan(Plan(Declined("57")))
    declined = await shop.credit(paid.transaction_id)
    assert (declined.outcome, declined.payment["codeCategory"]) == (("fail", "5057"), 1)
    assert (await shop.credit(paid.transaction_id)).outcome == ("success", "0")


async def test_a_void_of_an_authorization(shop: Shop) -> None:
    """A void releases what is held; after it nothing can be done."""
    paid = await shop.authorize()
    voided = await shop.void(paid.transaction_id)
    assert (voided.payment["mode"], voided.outcome, voided.payment["amount"]) == (
        "void",
        ("success", "0"),
        Decimal("19.99"),
    )
    for again in (shop.capture(paid.transaction_id), shop.void(paid.transaction_id)):
        assert await faults_of(again) == {"transaction": ["was voided already"]}
    assert "transaction" in await faults_of(shop.credit(paid.transaction_id))
    assert await faults_of(shop.void(voided.transaction_id)) == {
        "transaction": ["is a void; name the payment that it undid"]
    }


async def test_a_void_of_a_sale_and_of_a_capture(shop: Shop) -> None:
    """A sale or a capture is undone as long as nothing of it went back; then what is left is credited."""
    sale, auth = await shop.pay(), await shop.authorize()
    captured = await shop.capture(auth.transaction_id, "7.00")
    assert (await shop.void(sale.transaction_id)).payment["amount"] == Decimal("19.99")
    assert (await shop.void(auth.transaction_id)).payment["amount"] == 7
    assert shop.acquirer.operated[-1][1].original_reference == f"{captured.transaction_id}-1"
    assert "transaction" in await faults_of(shop.credit(captured.transaction_id))
    credited = await shop.pay(metadata='{"n": 2}')
    await shop.credit(credited.transaction_id, "1.00")
    assert "credit what is left" in (await faults_of(shop.void(credited.transaction_id)))["transaction"][0]


async def test_a_verification_holds_nothing(shop: Shop) -> None:
    """After a verification of a card its account is there, and nothing to capture, void or credit."""
    paid = await shop.pay(prices=(price(0),))
    assert (paid.payment["mode"], paid.payment["amount"], paid.outcome) == ("auth", 0, ("success", "0"))
    assert await shop.value("select count(*) from account") == 1
    assert await shop.value("select count(*) from authorization_hold") == 0
    for work in (shop.capture(paid.transaction_id), shop.void(paid.transaction_id), shop.credit(paid.transaction_id)):
        assert await faults_of(work) == {"transaction": ["only verified the card; it holds no money"]}


@pytest.mark.parametrize(
    ("amount", "fault"),
    [
        ("20.00", "is more than was authorized, which is 19.99 USD"),
        ("1.001", "has more decimals than USD, which has 2"),
        ("0.00", "must be above 0"),
    ],
)
async def test_amounts_that_cannot_be_captured(shop: Shop, amount: str, fault: str) -> None:
    """What cannot be captured is refused by its amount, and nothing is stored or sent."""
    paid = await shop.authorize()
    assert await faults_of(shop.capture(paid.transaction_id, amount, request="r1")) == {"amount": [fault]}
    assert (await modes(shop), shop.acquirer.operated) == ([("auth", "success", 1999)], [])
    assert (await shop.capture(paid.transaction_id, request="r1")).outcome == ("success", "0")


async def test_what_has_to_be_another_way(shop: Shop) -> None:
    """A sale is not captured, what failed is not credited; others' payments are not there."""
    sale = await shop.pay()
    assert await faults_of(shop.capture(sale.transaction_id)) == {"transaction": ["was captured already"]}
    shop.acquirer.plan(Plan(Declined("05")))
    failed = await shop.pay(metadata='{"n": 2}')
    for work in (shop.credit(failed.transaction_id), shop.void(failed.transaction_id)):
        assert await faults_of(work) == {"transaction": ["is a payment that failed"]}
    for work in (shop.void(sale.transaction_id, merchant_id=OTHER_MERCHANT), shop.void(1)):
        with pytest.raises(NotFound):
            await work


@pytest.mark.parametrize("amount", [None, "19.99"])
async def test_a_credit_of_what_nobody_captured_is_its_void(shop: Shop, amount: str | None) -> None:
    """All of an authorization is released by one transaction that says void, and a repeat agrees; a part is refused."""
    auth = await shop.authorize()
    assert list(await faults_of(shop.credit(auth.transaction_id, "5.00", request="r1"))) == ["amount"]
    voided = await shop.credit(auth.transaction_id, amount, request="r1", reason="Gone")
    told = voided.payment
    assert (told["action"], told["mode"], told["status"], told["amount"]) == (
        "credit", "void", "success", Decimal("19.99"),
    )  # fmt: skip
    assert told["parentTransactionId"] == auth.payment["transactionId"]
    assert [verb for verb, _ in shop.acquirer.operated] == ["void"]
    assert (await shop.credit(auth.transaction_id, amount, request="r1")).reply.body == voided.reply.body
    assert "transaction" in await faults_of(shop.capture(auth.transaction_id))
    assert await shop.value("select count(*) from authorization_hold") == 0
    assert await contradictions(shop) == []


async def test_a_credit_makes_no_card_the_last_one(shop: Shop) -> None:
    """The source `consumer` charges the card that paid last, not the one that was credited last."""
    first = await shop.pay()
    second = await shop.pay(number=OTHER_NUMBER)
    await shop.credit(first.transaction_id)
    last = await shop.value("select last_account_id from consumer")
    assert str(last) == second.payment["source"]["paymentAccountId"]


@pytest.mark.parametrize("outcome", [None, Declined("57")])
async def test_a_credit_leaves_a_subscription_alone(shop: Shop, outcome: Any) -> None:
    """What is done with the first payment of a subscription neither ends it nor tells of it."""
    paid = await shop.pay(sku_name="MONTHLY")
    assert "subscription" in paid.body
    before = [tuple(row) for row in await shop.fetch("select * from subscription")]
    shop.acquirer.plan(Plan(outcome))
    credited = await shop.credit(paid.transaction_id)
    assert "subscription" not in credited.body
    assert (await shop.stored(credited.transaction_id)).subscribing == ()
    assert [tuple(row) for row in await shop.fetch("select * from subscription")] == before


# Once


async def test_a_repeated_operation(shop: Shop, other_process: Shop) -> None:
    """A known request id gets its first answer, byte for byte, here and in another process; another body is refused."""
    paid = await shop.pay()
    first = await shop.credit(paid.transaction_id, request="r1")
    again = await shop.credit(paid.transaction_id, request="r1")
    there = await other_process.credit(paid.transaction_id, request="r1")
    assert first.reply.body == again.reply.body == there.reply.body
    assert [one.reply.is_replay for one in (first, again, there)] == [False, True, True]
    with pytest.raises(RequestIdReused):
        await shop.credit(paid.transaction_id, request="r1", digest=b"e" * 32)
    assert len(shop.acquirer.operated) == 1


async def test_equal_operations_at_once_are_one(shop: Shop, other_process: Shop) -> None:
    """Ten equal requests in two processes make one credit and get one answer."""
    paid = await shop.pay()
    both = (shop, other_process)
    given = await asyncio.gather(*(both[n % 2].credit(paid.transaction_id, "1.00", request="r1") for n in range(10)))
    assert len({one.reply.body for one in given}) == 1
    assert await shop.value(CREDITED) == 100


async def test_an_operations_answer_is_not_the_payments(shop: Shop) -> None:
    """The request ids of a payment and of what is done with it lead to their own answers, also under one name."""
    paid = await shop.pay(claim=claim("same"))
    credited = await shop.credit(paid.transaction_id, "1.00", request="same")
    assert (await shop.pay(claim=claim("same"))).reply.body == paid.reply.body
    assert (await shop.credit(paid.transaction_id, "1.00", request="same")).reply.body == credited.reply.body


# Races


async def test_two_credits_at_once(shop: Shop, other_process: Shop) -> None:
    """However many credits come at once, together they never give back more than was taken."""
    paid = await shop.pay()
    both = (shop, other_process)
    results = await all_at_once(*(both[n % 2].credit(paid.transaction_id, "6.00") for n in range(8)))
    assert sum(isinstance(one, Paid) for one in results) == 3
    assert all(isinstance(one, Paid | Invalid) for one in results)
    assert await shop.value(CREDITED) == 1800
    assert await contradictions(shop) == []


async def test_a_credit_against_a_void(shop: Shop, other_process: Shop) -> None:
    """Of a credit and a void at once one is done, whichever was first."""
    for n in range(6):
        paid = await shop.pay(metadata=f'{{"n": {n}}}')
        work = (shop.credit(paid.transaction_id), other_process.void(paid.transaction_id))
        results = await all_at_once(*(work if n % 2 else reversed(work)))
        assert sorted(isinstance(one, Paid) for one in results) == [False, True]
        assert all(isinstance(one, Paid | Invalid | RequestInProgress) for one in results)


async def test_an_open_operation_holds_up_the_others(shop: Shop) -> None:
    """While a capture is open nothing else begins; while a credit is open its amount is not left."""
    auth = await shop.authorize()
    shop.acquirer.plan(Plan(lost="answer"))
    pending = await shop.capture(auth.transaction_id)
    assert pending.outcome == ("pending", "0")
    for work in (
        shop.capture(auth.transaction_id),
        shop.void(auth.transaction_id),
        shop.credit(pending.transaction_id),
    ):
        with pytest.raises(RequestInProgress):
            await work
    await shop.resolve(pending.transaction_id)
    shop.acquirer.plan(Plan(lost="answer"))
    assert (await shop.credit(auth.transaction_id, "15.00")).outcome == ("pending", "0")
    assert "4.99 USD" in (await faults_of(shop.credit(auth.transaction_id, "5.00")))["amount"][0]
    with pytest.raises(RequestInProgress):
        await shop.void(auth.transaction_id)
    assert (await shop.credit(auth.transaction_id)).payment["amount"] == Decimal("4.99")


# Unknown, and crashes


@pytest.mark.parametrize(
    ("plan", "booked", "status", "code", "left"),
    [
        (Plan(lost="answer"), None, "success", "0", 0),
        (Plan(Declined("05"), lost="answer"), None, "fail", "5005", 1999),
        (Plan(lost="request"), None, "fail", "1040", 1999),
        (Plan(lost="answer"), Reversed(), "fail", "1041", 1999),
        (Plan(not_sent=True), None, "fail", "1040", 1999),
    ],
    ids=["approved", "declined", "not found", "reversed", "not sent"],
)
async def test_an_unknown_credit(shop: Shop, plan: Plan, booked: Any, status: str, code: str, left: int) -> None:
    """What became of a credit without an answer is found out by its reference; it is not sent again, and told once."""
    paid = await shop.pay()
    shop.acquirer.plan(plan)
    credited = await shop.credit(paid.transaction_id, request="r1")
    if booked:
        shop.acquirer.books[f"{credited.transaction_id}-1"] = booked
    await age(shop)
    settled = await shop.resolve(credited.transaction_id)
    assert (settled.status, settled.code) == (status, code)
    assert (settled.basis and settled.basis.reason) == "returned"
    assert len(shop.acquirer.operated) == 1
    assert await shop.value("select count(*) from event where kind = 'refund'") == 1
    assert await shop.value(CREDITED) == 1999 - left
    again = await shop.credit(paid.transaction_id, request="r1")
    assert again.reply.body == credited.reply.body


async def test_a_crash_between_intention_and_outcome(shop: Shop, other_process: Shop) -> None:
    """Where a process dies while the acquirer is asked, the next one finds out, and the repeat hears of it."""
    paid = await shop.pay()
    held = asyncio.Event()
    shop.acquirer.plan(Plan(hold=held))
    crediting = asyncio.create_task(shop.credit(paid.transaction_id, request="r1"))
    async with asyncio.timeout(5):
        while not shop.acquirer.operated:  # noqa: ASYNC110 - it happens in another task
            await asyncio.sleep(0.002)
    await shop.die()
    await asyncio.gather(crediting, return_exceptions=True)
    with pytest.raises(Invalid):
        await other_process.credit(paid.transaction_id)
    [row] = await shop.fetch("select transaction_id from transaction where mode = 'credit'")
    reference = shop.acquirer.operated[0][1].reference
    shop.acquirer.books[reference] = shop.acquirer.books[shop.acquirer.asked[0].reference]
    assert (await other_process.resolve(row["transaction_id"])).status is Status.SUCCESS
    again = await other_process.credit(paid.transaction_id, request="r1")
    assert (again.outcome, again.transaction_id) == (("success", "0"), row["transaction_id"])
    assert len(shop.acquirer.operated) == 1


async def test_a_slow_credit(shop: Shop) -> None:
    """The client gets pending in time, the credit goes on, and the repeat gets pending too; nobody else gets it."""
    paid = await shop.pay(claim=claim("r0"))
    await shop.value("update request_claim set answer = null, status = null")
    held = asyncio.Event()
    shop.acquirer.plan(Plan(hold=held))
    credited = await shop.hasty.credit(paid.transaction_id, request="r1")
    assert credited.outcome == ("pending", "0")
    held.set()
    await shop.quiet()
    assert (await shop.stored(credited.transaction_id)).status is Status.SUCCESS
    assert (await shop.credit(paid.transaction_id, request="r1")).reply.body == credited.reply.body
    assert (await shop.pay(claim=claim("r0"))).payment["mode"] == "sale"


# Taking an open payment back


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_an_unknown_payment_is_taken_back(shop: Shop, lost: Any) -> None:
    """A void of a payment with an unknown outcome reverses it: it ends as fail 1041, and is told so once."""
    shop.acquirer.plan(Plan(lost=lost))
    paid = await shop.pay(claim=claim("r1"))
    voided = await shop.void(paid.transaction_id, request="v1")
    assert (voided.outcome, voided.payment["mode"]) == (("fail", "1041"), "sale")
    assert voided.transaction_id == paid.transaction_id
    assert (await shop.void(paid.transaction_id, request="v1")).reply.body == voided.reply.body
    assert (await shop.pay(claim=claim("r1"))).outcome == ("pending", "0")
    assert shop.acquirer.charged == []
    assert await modes(shop) == [("sale", "fail", 1999)]
    assert await shop.value("select count(*) from event") == 1


async def test_a_late_approval_does_not_outrun_a_void(shop: Shop) -> None:
    """From the moment a payment is taken back the acquirer's answer counts no more, also while nobody acknowledges."""
    held, paying = await shop.start(claim=claim("r1"))
    [row] = await shop.fetch("select transaction_id from transaction")
    shop.acquirer.find(Unknown("silence"))
    voided = await shop.void(row["transaction_id"], request="v1")
    assert voided.outcome == ("pending", "0")
    assert (await shop.stored(row["transaction_id"])).attempt.state is AttemptState.REVERSING
    held.set()
    paid = await paying
    assert paid.outcome == ("pending", "0")
    assert (await shop.void(row["transaction_id"])).outcome == ("fail", "1041")
    assert (await shop.pay(claim=claim("r1"))).reply.body == paid.reply.body
    assert (await shop.void(row["transaction_id"], request="v1")).reply.body == voided.reply.body
    assert shop.acquirer.charged == []
    assert await shop.value("select count(*) from account") == 0


async def test_a_reversal_that_a_crash_left(shop: Shop) -> None:
    """The resolver reverses what was being taken back, and asks nothing."""
    payment = await shop.begin()
    await shop.value("update open_attempt set state = 'reversing', resolve_at = now()")
    settled = await shop.resolve(payment.transaction_id)
    assert (settled.code, shop.acquirer.count("inquire"), shop.acquirer.count("reverse")) == ("1041", 0, 1)


async def test_the_first_transaction_stays_the_first(shop: Shop, other_process: Shop) -> None:
    """Another process may count in a lower block of ids: the first transaction of an order is its sale all the same."""
    await other_process.pay(external_id="warm")
    lower = await other_process.parts.numbers.next_number()
    paid = await shop.pay(claim=claim("r1"))
    await shop.value("update request_claim set answer = null, status = null")
    credited = await other_process.credit(paid.transaction_id)
    assert lower < credited.transaction_id < paid.transaction_id
    assert (await shop.pay(claim=claim("r1"))).payment["mode"] == "sale"
