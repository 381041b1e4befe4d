"""Charge-backs: settled as they are written, never more than there is, and told like everything else."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from tests.integration.payments.test_crash import contradictions
from tests.support.acquirer import Plan
from tests.support.shop import OTHER_MERCHANT, Paid, Shop, all_at_once, open_shop

from tollhouse.acquirers.model import Declined
from tollhouse.kernel.errors import Invalid, NotFound, RequestIdReused, StillRunning
from tollhouse.ledger.verify import verify_books

BACK = "select coalesce(sum(amount_minor), 0) from transaction where mode in ('credit', 'chargeback')"


async def faults_of(work: Any) -> dict[str, list[str]]:
    """Return the faults with which an operation is refused."""
    with pytest.raises(Invalid) as refused:
        await work
    return refused.value.errors


async def test_all_of_a_sale(shop: Shop) -> None:
    """The issuer takes all of a sale back: a transaction that failed, its event and its entry, and nobody was asked."""
    paid = await shop.pay(metadata='{"cart": 7}')
    taken = await shop.charge_back(paid.transaction_id, request="r-back", reason="10.4")
    own = {
        "mode": "chargeback",
        "status": "fail",
        "code": "1050",
        "description": "Charged back by the issuer",
        "codeCategory": 4,
        "transactionId": taken.payment["transactionId"],
        "timestamp": taken.payment["timestamp"],
    }
    assert taken.payment == paid.payment | own
    assert taken.transaction_id != paid.transaction_id
    assert (taken.body["consumer"], taken.body["metadata"]) == (paid.body["consumer"], {"cart": 7})
    assert shop.acquirer.operated == []
    [event] = await shop.fetch("select kind, status, request_id, body from event where kind <> 'sale'")
    assert tuple(event)[:3] == ("chargeback", "fail", "r-back")
    assert event["body"].startswith(taken.reply.body[:-1])
    assert json.loads(event["body"])["timestamp"] == taken.payment["timestamp"]
    [row] = await shop.fetch("select basis_id, basis_mode::text, cause::text, reason from operation")
    assert tuple(row) == (paid.transaction_id, "sale", "issuer", "10.4")
    [entry] = await shop.fetch(
        "select debit::text, credit::text, amount_minor from ledger_entry where transaction_id = $1",
        taken.transaction_id,
    )
    assert tuple(entry) == ("money.chargebacks", "money.acquirers", 1999)
    stored = await shop.stored(taken.transaction_id)
    assert (stored.status, stored.code, stored.basis and stored.basis.reason) == ("fail", "1050", "10.4")
    assert await contradictions(shop) == []
    assert (await verify_books(shop.tools.database)).violations == ()


async def test_parts_of_a_capture(shop: Shop) -> None:
    """By either id a part of a capture is taken back; the rest can be credited, and not more."""
    paid = await shop.authorize()
    assert "transactionId" in await faults_of(shop.charge_back(paid.transaction_id))
    captured = await shop.capture(paid.transaction_id, "15.00")
    assert (await shop.charge_back(paid.transaction_id, "4.00")).payment["amount"] == 4
    taken = await shop.charge_back(captured.transaction_id, "1.00")
    assert await faults_of(shop.charge_back(paid.transaction_id, "10.01")) == {
        "amount": ["is more than is left to charge back, which is 10.00 USD"]
    }
    assert "transactionId" in await faults_of(shop.void(paid.transaction_id))
    assert "amount" in await faults_of(shop.credit(paid.transaction_id, "10.01"))
    assert (await shop.credit(captured.transaction_id)).payment["amount"] == 10
    assert await faults_of(shop.charge_back(paid.transaction_id)) == {
        "amount": ["is more than is left to charge back, which is nothing"]
    }
    assert await faults_of(shop.credit(taken.transaction_id)) == {
        "transactionId": ["is a charge-back; name the payment that it took back"]
    }
    assert await contradictions(shop) == []
    assert (await verify_books(shop.tools.database)).violations == ()


async def test_what_cannot_be_charged_back(shop: Shop) -> None:
    """What failed, was voided, is still open or is another merchant's is not charged back, and nothing is written."""
    voided = await shop.pay()
    await shop.void(voided.transaction_id)
    shop.acquirer.plan(Plan(Declined("05")))
    declined = await shop.pay(external_id="user-2")
    for paid in (voided, declined):
        assert "transactionId" in await faults_of(shop.charge_back(paid.transaction_id))
    good = await shop.pay(external_id="user-3")
    for amount in ("0", "19.991", "20"):
        assert "amount" in await faults_of(shop.charge_back(good.transaction_id, amount))
    with pytest.raises(NotFound):
        await shop.charge_back(good.transaction_id, merchant_id=OTHER_MERCHANT)
    held, paying = await shop.start(external_id="user-4")
    with pytest.raises(StillRunning):
        await shop.charge_back(int(shop.acquirer.asked[-1].reference.partition("-")[0]))
    held.set()
    await paying
    assert await shop.value(BACK) == 0


async def test_repeats(shop: Shop) -> None:
    """A request id is good for one charge-back: a repeat gets its bytes, another body 422; a refusal frees it."""
    paid = await shop.pay()
    await faults_of(shop.charge_back(paid.transaction_id, "20", request="r1"))
    first = await shop.charge_back(paid.transaction_id, "1.00", request="r1")
    await shop.value("update account set disabled = true")  # an answer that is written anew would say so
    again = await shop.charge_back(paid.transaction_id, "1.00", request="r1")
    assert (again.reply.body, again.reply.is_replay) == (first.reply.body, True)
    with pytest.raises(RequestIdReused):
        await shop.charge_back(paid.transaction_id, "2.00", request="r1", digest=b"e" * 32)
    assert await shop.value(BACK) == 100


async def test_at_the_same_time(shop: Shop) -> None:
    """However many credits and charge-backs come at once, in two processes, together they take what was paid."""
    other = open_shop(shop.tools.database, shop.acquirer)
    paid = await shop.pay()
    wanted = [
        work
        for process in (shop, other)
        for n in range(4)
        for work in (
            process.charge_back(paid.transaction_id, "3.00"),
            process.credit(paid.transaction_id, f"{n + 1}.00"),
        )
    ]
    results = await all_at_once(*wanted)
    done = [result.payment["amount"] for result in results if isinstance(result, Paid)]
    assert all(isinstance(result, Paid | Invalid) for result in results), results
    assert Decimal(0) < sum(done) <= Decimal("19.99")
    assert len(done) < len(results)
    assert await shop.value(BACK) == sum(done) * 100
    assert (await verify_books(shop.tools.database)).violations == ()
