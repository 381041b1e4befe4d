"""Chargebacks: finished as they are written, for any amount left, with an event and entries."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from tests.integration.payments.test_crash import contradictions
from tests.support.acquirer import Plan
from tests.support.shop import OTHER_MERCHANT, Paid, Shop, all_at_once, faults_in, open_shop

from tollhouse.acquirers.model import Declined
from tollhouse.ipn.message.record import RecordEvent, insert_events
from tollhouse.kernel.errors import Invalid, NotFound, RequestIdReused
from tollhouse.ledger_check.verify import verify_ledger
from tollhouse.payments.dispute_steps import DisputeStep

BACK = "select coalesce(sum(amount_minor), 0) from transaction where mode in ('credit', 'chargeback')"

LOST = "select coalesce(sum(amount_minor), 0)::bigint from ledger_line where account = 'money.chargebacks'"


async def faults_of(work: Any) -> dict[str, list[str]]:
    """Return the faults with which an operation is rejected."""
    with pytest.raises(Invalid) as refused:
        await work
    return faults_in(refused.value)


async def test_a_chargeback_of_a_sale_is_recorded(shop: Shop) -> None:
    """A chargeback of a whole sale is a transaction with its event and entry, without an acquirer call."""
    paid = await shop.pay(metadata='{"cart": 7}')
    taken = await shop.charge_back(paid.transaction_id, request="r-back", reason="10.4")
    own = {
        "action": "chargeback",
        "mode": "chargebackFirst",
        "status": "chargeback",
        "code": "0",
        "description": "10.4",
        "transactionId": taken.payment["transactionId"],
        "parentTransactionId": paid.payment["transactionId"],
        "timestamp": taken.payment["timestamp"],
    }
    assert taken.payment == paid.payment | own
    assert taken.transaction_id != paid.transaction_id
    assert (taken.body["consumer"], taken.body["metadata"]) == (paid.body["consumer"], {"cart": 7})
    assert shop.acquirer.operated == []
    [event] = await shop.fetch("select kind, status, request_id, body from event where kind <> 'sale'")
    assert tuple(event)[:3] == ("chargebackFirst", "chargeback", "r-back")
    assert event["body"].startswith(taken.reply.body[:-1])
    told = json.loads(event["body"])["timestamp"]
    assert told | {"unixTime": int(told["unixTime"])} == taken.payment["timestamp"]
    assert told["unixTime"] == str(taken.payment["timestamp"]["unixTime"])
    [row] = await shop.fetch("select basis_id, basis_mode::text, cause::text, reason from operation")
    assert tuple(row) == (paid.transaction_id, "sale", "issuer", "10.4")
    [entry] = await shop.fetch(
        "select debit::text, credit::text, amount_minor from ledger_entry where transaction_id = $1",
        taken.transaction_id,
    )
    assert tuple(entry) == ("money.chargebacks", "money.acquirers", 1999)
    stored = await shop.stored(taken.transaction_id)
    assert (stored.status, stored.code, stored.basis and stored.basis.reason) == ("success", "0", "10.4")
    assert await contradictions(shop) == []
    assert (await verify_ledger(shop.parts.database)).violations == ()


async def test_part_of_a_capture_is_charged_back(shop: Shop) -> None:
    """By either ID part of a capture is charged back; the rest can be refunded, and no more."""
    paid = await shop.authorize()
    captured = await shop.capture(paid.transaction_id, "15.00")
    assert (await shop.charge_back(paid.transaction_id, "4.00")).payment["amount"] == 4
    taken = await shop.charge_back(captured.transaction_id, "1.00")
    assert "transaction" in await faults_of(shop.void(paid.transaction_id))
    assert "amount" in await faults_of(shop.credit(paid.transaction_id, "10.01"))
    assert (await shop.credit(captured.transaction_id)).payment["amount"] == 10
    beyond = (await shop.charge_back(paid.transaction_id, "10.01")).payment
    assert (beyond["amount"], beyond["excessAmount"]) == (Decimal("10.01"), Decimal("10.01"))
    assert await faults_of(shop.credit(taken.transaction_id)) == {
        "transaction": ["is a chargeback; send the transaction ID of its payment"]
    }
    assert await contradictions(shop) == []
    assert (await verify_ledger(shop.parts.database)).violations == ()


async def test_a_chargeback_is_recorded_in_every_state(shop: Shop) -> None:
    """Failed, voided and open payments are charged back too, beyond the amount left; another merchant's is not."""
    voided = await shop.pay()
    await shop.void(voided.transaction_id)
    shop.acquirer.plan(Plan(Declined("05")))
    declined = await shop.pay(external_id="user-2")
    for paid in (voided, declined):
        taken = (await shop.charge_back(paid.transaction_id)).payment
        assert (taken["amount"], taken["excessAmount"]) == (Decimal("19.99"), Decimal("19.99"))
    good = await shop.pay(external_id="user-3")
    for amount in ("0", "19.991"):
        assert "amount" in await faults_of(shop.charge_back(good.transaction_id, amount))
    assert (await shop.charge_back(good.transaction_id, "20")).payment["excessAmount"] == Decimal("0.01")
    with pytest.raises(NotFound):
        await shop.charge_back(good.transaction_id, merchant_id=OTHER_MERCHANT)
    held, paying = await shop.start(external_id="user-4")
    await shop.charge_back(int(shop.acquirer.asked[-1].reference.partition("-")[0]))
    held.set()
    assert (await paying).payment["status"] == "success"
    assert await shop.value(BACK) == 3 * 1999 + 2000
    assert (await verify_ledger(shop.parts.database)).violations == ()


STEPS = [
    (DisputeStep.RETRIEVAL, "chargebackRetrieval", "retrieved", 0),
    (DisputeStep.ANSWER, "chargebackRepresent", "represented", 0),
    (DisputeStep.FIRST, "chargebackFirst", "chargeback", -1999),
    (DisputeStep.WON, "chargebackRepresent", "represented", 1999),
    (DisputeStep.SECOND, "chargebackSecond", "chargeback_2nd", -1999),
    (DisputeStep.COLLECTION, "chargebackCollector", "send_ca", 0),
]


async def test_each_step_of_a_dispute_has_its_public_names(shop: Shop) -> None:
    """Each step has its public mode and status, one event, and moves the right amount."""
    paid = await shop.pay()
    for step, mode, status, moved in STEPS:
        before = await shop.value(LOST)
        told = (await shop.charge_back(paid.transaction_id, step=step, reason="13.1")).payment
        assert (told["action"], told["mode"], told["status"], told["code"]) == ("chargeback", mode, status, "0")
        assert (told["amount"], told["description"]) == (Decimal("19.99"), "13.1")
        assert told["parentTransactionId"] == paid.payment["transactionId"]
        assert "excessAmount" not in told
        assert before - await shop.value(LOST) == moved
    kinds = [row["kind"] for row in await shop.fetch("select kind from event order by position")]
    assert kinds == ["sale", *("dispute.won" if step is DisputeStep.WON else mode for step, mode, *_ in STEPS)]
    assert (await verify_ledger(shop.parts.database)).violations == ()


async def test_a_transaction_has_one_event_of_each_status(shop: Shop) -> None:
    """The database allows one event of each status for a transaction."""
    paid = await shop.pay()
    rows = "select * from event where transaction_id = $1"
    again = [RecordEvent().rows(await shop.stored(paid.transaction_id))[0]] * 2
    async with shop.parts.database.transaction() as connection:
        await insert_events(connection, again)
    assert len(await shop.fetch(rows, paid.transaction_id)) == 1


async def test_a_repeated_chargeback_is_replayed(shop: Shop) -> None:
    """A repeat gets the same bytes, another body 422; a rejection frees the idempotency key."""
    paid = await shop.pay()
    await faults_of(shop.charge_back(paid.transaction_id, "0", request="r1"))
    first = await shop.charge_back(paid.transaction_id, "1.00", request="r1")
    await shop.value("update account set disabled = true")  # an answer that is written anew would say so
    again = await shop.charge_back(paid.transaction_id, "1.00", request="r1")
    assert (again.reply.body, again.reply.is_replay) == (first.reply.body, True)
    with pytest.raises(RequestIdReused):
        await shop.charge_back(paid.transaction_id, "2.00", request="r1", digest=b"e" * 32)
    assert await shop.value(BACK) == 100


async def test_concurrent_chargebacks_are_all_recorded(shop: Shop) -> None:
    """Of concurrent refunds and chargebacks all chargebacks are posted, and refunds never exceed the amount."""
    other = open_shop(shop.parts.database, shop.acquirer)
    paid = await shop.pay()
    processes = [process for process in (shop, other) for _ in range(4)]
    taken = [process.charge_back(paid.transaction_id, "3.00") for process in processes]
    wanted = [process.credit(paid.transaction_id, f"{n % 4 + 1}.00") for n, process in enumerate(processes)]
    results = await all_at_once(*taken, *wanted)
    done = [result.payment["amount"] for result in results if isinstance(result, Paid)]
    assert all(isinstance(result, Paid) for result in results[:8]), results
    assert all(isinstance(result, Paid | Invalid) for result in results[8:]), results
    assert sum(done[8:]) <= Decimal("19.99")
    assert await shop.value(BACK) == sum(done) * 100
    assert (await verify_ledger(shop.parts.database)).violations == ()
