"""Captures, voids and refunds: each once, never beyond the amount, and none lost."""

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
    """Return the faults with which an operation is rejected."""
    with pytest.raises(Invalid) as refused:
        await work
    return faults_in(refused.value)


async def modes(shop: Shop) -> list[tuple[str, str, int]]:
    """Return the operations in the order of their begin."""
    rows = await shop.fetch("select mode::text, status::text, amount_minor from transaction order by created_at")
    return [tuple(row) for row in rows]


async def age(shop: Shop) -> None:
    """Make open attempts older than the acquirer's greatest delay."""
    await shop.value("update open_attempt set sent_at = sent_at - '1 hour'::interval where resolve_at is not null")


# What each does


async def test_a_capture_takes_the_authorized_amount(shop: Shop) -> None:
    """A capture is a transaction with an event of its own."""
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


async def test_a_partial_capture_is_the_only_one(shop: Shop) -> None:
    """The rest of the authorization is released with a partial capture."""
    paid = await shop.authorize()
    captured = await shop.capture(paid.transaction_id, "5.00")
    assert (captured.outcome, captured.payment["amount"]) == (("success", "0"), 5)
    assert await faults_of(shop.capture(paid.transaction_id)) == {"transaction": ["is already captured"]}
    assert (await shop.credit(captured.transaction_id)).payment["amount"] == 5


@pytest.mark.parametrize("named", ["auth", "capture"])
async def test_a_refund_takes_either_id(shop: Shop, named: str) -> None:
    """A refund takes the ID of the authorization or of its capture, and refunds the capture."""
    paid = await shop.authorize()
    captured = await shop.capture(paid.transaction_id)
    credited = await shop.credit((paid if named == "auth" else captured).transaction_id, reason="Broken")
    told = credited.payment
    assert (told["action"], told["mode"], told["orderId"]) == ("credit", "refund", paid.payment["orderId"])
    assert told["parentTransactionId"] == captured.payment["transactionId"]
    assert shop.acquirer.operated[-1][1].original_reference == f"{captured.transaction_id}-1"
    [row] = await shop.fetch("select basis_mode::text, reason, cause::text from operation where reason is not null")
    assert tuple(row) == ("capture", "Broken", "request")


async def test_refunds_never_exceed_the_amount_left(shop: Shop) -> None:
    """A sale is refunded in parts, by default by the amount left, and never beyond it."""
    paid = await shop.pay()
    assert (await shop.credit(paid.transaction_id, "15.50")).outcome == ("success", "0")
    assert await faults_of(shop.credit(paid.transaction_id, "4.50")) == {
        "amount": ["is more than is left to credit, which is 4.49 USD"]
    }
    assert (await shop.credit(paid.transaction_id)).payment["amount"] == Decimal("4.49")
    assert await faults_of(shop.credit(paid.transaction_id)) == {
        "amount": ["exceeds the amount left to refund, which is 0"]
    }
    assert await shop.value(CREDITED) == 1999


async def test_a_declined_refund_frees_its_amount(shop: Shop) -> None:
    """An issuer may decline a refund: its status is `fail`, and the amount left is unchanged."""
    paid = await shop.pay()
    shop.acquirer.plan(Plan(Declined("57")))
    declined = await shop.credit(paid.transaction_id)
    assert (declined.outcome, declined.payment["codeCategory"]) == (("fail", "5057"), 1)
    assert (await shop.credit(paid.transaction_id)).outcome == ("success", "0")


async def test_a_void_releases_an_authorization(shop: Shop) -> None:
    """A void releases the authorized amount; no operation can follow."""
    paid = await shop.authorize()
    voided = await shop.void(paid.transaction_id)
    assert (voided.payment["mode"], voided.outcome, voided.payment["amount"]) == (
        "void",
        ("success", "0"),
        Decimal("19.99"),
    )
    for again in (shop.capture(paid.transaction_id), shop.void(paid.transaction_id)):
        assert await faults_of(again) == {"transaction": ["is already voided"]}
    assert "transaction" in await faults_of(shop.credit(paid.transaction_id))
    assert await faults_of(shop.void(voided.transaction_id)) == {
        "transaction": ["is a void; send the transaction ID of its payment"]
    }


async def test_a_sale_or_capture_is_voided_before_any_refund(shop: Shop) -> None:
    """A sale or capture can be voided before money was refunded; afterwards the rest is refunded."""
    sale, auth = await shop.pay(), await shop.authorize()
    captured = await shop.capture(auth.transaction_id, "7.00")
    assert (await shop.void(sale.transaction_id)).payment["amount"] == Decimal("19.99")
    assert (await shop.void(auth.transaction_id)).payment["amount"] == 7
    assert shop.acquirer.operated[-1][1].original_reference == f"{captured.transaction_id}-1"
    assert "transaction" in await faults_of(shop.credit(captured.transaction_id))
    credited = await shop.pay(metadata='{"n": 2}')
    await shop.credit(credited.transaction_id, "1.00")
    assert "refund the rest instead" in (await faults_of(shop.void(credited.transaction_id)))["transaction"][0]


async def test_a_verification_allows_no_operation(shop: Shop) -> None:
    """A verification stores the card, and allows no capture, void or refund."""
    paid = await shop.pay(prices=(price(0),))
    assert (paid.payment["mode"], paid.payment["amount"], paid.outcome) == ("auth", 0, ("success", "0"))
    assert await shop.value("select count(*) from account") == 1
    assert await shop.value("select count(*) from authorization_hold") == 0
    for work in (shop.capture(paid.transaction_id), shop.void(paid.transaction_id), shop.credit(paid.transaction_id)):
        assert await faults_of(work) == {"transaction": ["is a verification without an amount"]}


@pytest.mark.parametrize(
    ("amount", "fault"),
    [
        ("20.00", "is more than was authorized, which is 19.99 USD"),
        ("1.001", "has more decimals than USD, which has 2"),
        ("0.00", "must be above 0"),
    ],
)
async def test_invalid_amounts_are_rejected(shop: Shop, amount: str, fault: str) -> None:
    """An amount that cannot be captured is rejected, and nothing is stored or sent."""
    paid = await shop.authorize()
    assert await faults_of(shop.capture(paid.transaction_id, amount, request="r1")) == {"amount": [fault]}
    assert (await modes(shop), shop.acquirer.operated) == ([("auth", "success", 1999)], [])
    assert (await shop.capture(paid.transaction_id, request="r1")).outcome == ("success", "0")


async def test_operations_need_a_suitable_payment(shop: Shop) -> None:
    """A sale is not captured, a failed payment is not refunded, and another merchant's is not found."""
    sale = await shop.pay()
    assert await faults_of(shop.capture(sale.transaction_id)) == {"transaction": ["is already captured"]}
    shop.acquirer.plan(Plan(Declined("05")))
    failed = await shop.pay(metadata='{"n": 2}')
    for work in (shop.credit(failed.transaction_id), shop.void(failed.transaction_id)):
        assert await faults_of(work) == {"transaction": ["is a failed payment"]}
    for work in (shop.void(sale.transaction_id, merchant_id=OTHER_MERCHANT), shop.void(1)):
        with pytest.raises(NotFound):
            await work


@pytest.mark.parametrize("amount", [None, "19.99"])
async def test_a_refund_of_an_uncaptured_authorization_is_its_void(shop: Shop, amount: str | None) -> None:
    """All of it is voided by one transaction, and a repeat agrees; a part is rejected."""
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


async def test_a_refund_does_not_change_the_last_card(shop: Shop) -> None:
    """The source `consumer` charges the card of the last payment, not of the last refund."""
    first = await shop.pay()
    second = await shop.pay(number=OTHER_NUMBER)
    await shop.credit(first.transaction_id)
    last = await shop.value("select last_account_id from consumer")
    assert str(last) == second.payment["source"]["paymentAccountId"]


@pytest.mark.parametrize("outcome", [None, Declined("57")])
async def test_a_refund_leaves_a_subscription_unchanged(shop: Shop, outcome: Any) -> None:
    """A refund of a sign-up neither ends its subscription nor sends an event about it."""
    paid = await shop.pay(sku_name="MONTHLY")
    assert "subscription" in paid.body
    before = [tuple(row) for row in await shop.fetch("select * from subscription")]
    shop.acquirer.plan(Plan(outcome))
    credited = await shop.credit(paid.transaction_id)
    assert "subscription" not in credited.body
    assert (await shop.stored(credited.transaction_id)).subscribing == ()
    assert [tuple(row) for row in await shop.fetch("select * from subscription")] == before


# Once


async def test_a_repeated_operation_is_replayed(shop: Shop, other_process: Shop) -> None:
    """A known idempotency key gets its first response in any process; another body is rejected."""
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
    """Ten equal concurrent requests in two processes make one refund and get one response."""
    paid = await shop.pay()
    both = (shop, other_process)
    given = await asyncio.gather(*(both[n % 2].credit(paid.transaction_id, "1.00", request="r1") for n in range(10)))
    assert len({one.reply.body for one in given}) == 1
    assert await shop.value(CREDITED) == 100


async def test_an_operations_answer_is_not_the_payments(shop: Shop) -> None:
    """A payment and its operations have their own responses, also with equal idempotency keys."""
    paid = await shop.pay(claim=claim("same"))
    credited = await shop.credit(paid.transaction_id, "1.00", request="same")
    assert (await shop.pay(claim=claim("same"))).reply.body == paid.reply.body
    assert (await shop.credit(paid.transaction_id, "1.00", request="same")).reply.body == credited.reply.body


# Races


async def test_concurrent_refunds_never_exceed_the_amount(shop: Shop, other_process: Shop) -> None:
    """Concurrent refunds together never exceed the captured amount."""
    paid = await shop.pay()
    both = (shop, other_process)
    results = await all_at_once(*(both[n % 2].credit(paid.transaction_id, "6.00") for n in range(8)))
    assert sum(isinstance(one, Paid) for one in results) == 3
    assert all(isinstance(one, Paid | Invalid) for one in results)
    assert await shop.value(CREDITED) == 1800
    assert await contradictions(shop) == []


async def test_a_refund_and_a_void_exclude_each_other(shop: Shop, other_process: Shop) -> None:
    """Of a concurrent refund and void one succeeds."""
    for n in range(6):
        paid = await shop.pay(metadata=f'{{"n": {n}}}')
        work = (shop.credit(paid.transaction_id), other_process.void(paid.transaction_id))
        results = await all_at_once(*(work if n % 2 else reversed(work)))
        assert sorted(isinstance(one, Paid) for one in results) == [False, True]
        assert all(isinstance(one, Paid | Invalid | RequestInProgress) for one in results)


async def test_an_open_operation_delays_the_others(shop: Shop) -> None:
    """During an open capture no other operation begins; an open refund reduces the amount left."""
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
async def test_an_unknown_refund_is_resolved(
    shop: Shop, plan: Plan, booked: Any, status: str, code: str, left: int
) -> None:
    """A refund without a response is queried by its reference, not sent again, and reported once."""
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


async def test_a_crashed_operation_is_resolved(shop: Shop, other_process: Shop) -> None:
    """After a crash during the call another process resolves the operation, and the repeat gets its response."""
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


async def test_a_slow_refund_is_pending(shop: Shop) -> None:
    """The client gets `pending` in time, the refund continues, and only its repeat gets `pending` too."""
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
async def test_a_void_reverses_an_unknown_payment(shop: Shop, lost: Any) -> None:
    """A void of a payment with an unknown outcome reverses it: it ends as `fail` 1041, with one event."""
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


async def test_an_approval_after_a_void_is_ignored(shop: Shop) -> None:
    """Once a payment is being reversed, an approval is ignored, also before the reversal is acknowledged."""
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


async def test_the_resolver_completes_a_reversal(shop: Shop) -> None:
    """After a crash the resolver continues the reversal, without an inquiry."""
    payment = await shop.begin()
    await shop.value("update open_attempt set state = 'reversing', resolve_at = now()")
    settled = await shop.resolve(payment.transaction_id)
    assert (settled.code, shop.acquirer.count("inquire"), shop.acquirer.count("reverse")) == ("1041", 0, 1)


async def test_the_first_transaction_stays_the_first(shop: Shop, other_process: Shop) -> None:
    """Transaction IDs of other processes may be lower: the sale of an order stays its first transaction."""
    await other_process.pay(external_id="warm")
    lower = await other_process.parts.numbers.next_number()
    paid = await shop.pay(claim=claim("r1"))
    await shop.value("update request_claim set answer = null, status = null")
    credited = await other_process.credit(paid.transaction_id)
    assert lower < credited.transaction_id < paid.transaction_id
    assert (await shop.pay(claim=claim("r1"))).payment["mode"] == "sale"
