"""The import of disputes: each is recorded once despite crashes, by the merchant's clock."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.integration.payments.test_chargeback import faults_of
from tests.integration.payments.test_crash import contradictions
from tests.integration.payments.test_holds import advance
from tests.support.acquirer import Plan, ScriptedAcquirer
from tests.support.shop import MERCHANT, OTHER_MERCHANT, Paid, Shop, open_shop

from tollhouse.acquirers.model import AcquirerDispute, Declined
from tollhouse.kernel.errors import Unavailable
from tollhouse.kernel.money import Currency, Money
from tollhouse.ledger_check.verify import verify_ledger
from tollhouse.payments.disputes.import_disputes import find_next_dispute, import_disputes
from tollhouse.worker.payments import import_all_disputes

RECORDED = """
    select t.amount_minor, o.dispute_step::text, t.code, o.basis_id, o.cause::text, o.reason, o.excess_minor
    from transaction t join operation o using (merchant_id, transaction_id)
    where t.mode = 'chargeback' order by t.transaction_id
"""


async def dispute(shop: Shop, paid: Paid, name: str = "d-1", **changes: Any) -> AcquirerDispute:
    """Add a dispute of a payment to the acquirer, due now by default."""
    stored = await shop.stored(paid.transaction_id)
    fields: dict[str, Any] = {
        "dispute_id": name,
        "acceptor": str(MERCHANT),
        "reference": stored.attempt.reference,
        "money": stored.money,
        "reason": "10.4",
        "due_at": stored.created_at,
    }
    told = AcquirerDispute(**(fields | changes))
    shop.acquirer.disputes.append(told)
    return told


async def recorded(shop: Shop) -> list[tuple[Any, ...]]:
    """Return the chargebacks."""
    return [tuple(row) for row in await shop.fetch(RECORDED)]


async def test_a_dispute_is_recorded(shop: Shop) -> None:
    """A dispute becomes a chargeback with its event and entry, and is acknowledged."""
    paid = await shop.pay()
    await dispute(shop, paid)
    assert await import_all_disputes(shop.parts.disputes) == 1
    assert await recorded(shop) == [(1999, "first", "0", paid.transaction_id, "issuer", "10.4", 0)]
    assert shop.acquirer.acknowledged == {"d-1"}
    assert await shop.value("select count(*) from event where kind = 'chargebackFirst'") == 1
    entries = "select count(*) from ledger_entry where debit::text = 'money.chargebacks'"
    assert await shop.value(entries) == 1
    assert await import_all_disputes(shop.parts.disputes) == 0
    assert await contradictions(shop) == []
    assert (await verify_ledger(shop.parts.database)).violations == ()


async def test_a_capture_is_disputed(shop: Shop) -> None:
    """A dispute may name a capture, and part of its amount."""
    held = await shop.authorize()
    captured = await shop.capture(held.transaction_id)
    await dispute(shop, captured, money=Money(500, Currency.of("USD")))
    assert await import_all_disputes(shop.parts.disputes) == 1
    [row] = await recorded(shop)
    assert row[0] == 500


async def test_a_repeated_dispute_is_recorded_once(shop: Shop, other_process: Shop) -> None:
    """A process that dies before it acknowledges loses nothing, and a repeated dispute is recorded once."""
    paid = await shop.pay()
    await dispute(shop, paid, money=Money(700, Currency.of("USD")))
    shop.acquirer.hears_acknowledgements = False
    for process in (shop, shop, other_process):
        assert await import_disputes(process.parts.disputes) == 1
    await asyncio.gather(*(import_disputes(process.parts.disputes) for process in (shop, other_process) * 3))
    shop.acquirer.hears_acknowledgements = True
    assert await import_disputes(other_process.parts.disputes) == 1
    assert [row[0] for row in await recorded(shop)] == [700]
    assert await shop.value("select count(*) from event where kind = 'chargebackFirst'") == 1
    assert await contradictions(shop) == []


async def test_two_disputes_of_one_payment(shop: Shop) -> None:
    """Each dispute of a payment is a chargeback of its full amount, with its excess."""
    paid = await shop.pay()
    for name in ("d-1", "d-2", "d-3"):
        await dispute(shop, paid, name, money=Money(1200, Currency.of("USD")))
    await import_all_disputes(shop.parts.disputes)
    assert sorted((row[0], row[-1]) for row in await recorded(shop)) == [(1200, 0), (1200, 401), (1200, 1200)]
    assert shop.acquirer.acknowledged == {"d-1", "d-2", "d-3"}
    assert (await verify_ledger(shop.parts.database)).violations == ()


async def test_a_dispute_is_recorded_during_a_void(shop: Shop) -> None:
    """A dispute is recorded while a void is open, which continues; both are posted."""
    paid = await shop.pay()
    shop.acquirer.plan(Plan(late=True))
    voided = await shop.hasty.void(paid.transaction_id)
    assert voided.payment["status"] == "pending"
    await dispute(shop, paid)
    assert await import_all_disputes(shop.parts.disputes) == 1
    shop.acquirer.arrive(f"{voided.transaction_id}-1")
    await shop.resolve(voided.transaction_id)
    assert [(row[0], row[-1]) for row in await recorded(shop)] == [(1999, 0)]
    assert await balance(shop) == -1999
    assert (await verify_ledger(shop.parts.database)).violations == ()


async def test_a_dispute_is_recorded_during_a_refund(shop: Shop) -> None:
    """A dispute during a refund is posted in full, whether the refund fails or succeeds."""
    for outcome, expected in ((None, -1999), (Declined("05"), 0)):
        paid = await shop.pay(external_id=f"user-{expected}")
        shop.acquirer.plan(Plan(outcome, late=True))
        credited = await shop.hasty.credit(paid.transaction_id)
        assert credited.payment["status"] == "pending"
        await dispute(shop, paid, f"d{expected}")
        before = await balance(shop)
        assert await import_all_disputes(shop.parts.disputes) == 1
        assert await balance(shop) == before - 1999
        shop.acquirer.arrive(f"{credited.transaction_id}-1")
        await shop.resolve(credited.transaction_id)
        assert await balance(shop) == before - 1999 + min(expected, 0)
        assert "amount" in await faults_of(shop.credit(paid.transaction_id))
    assert [row[-1] for row in await recorded(shop)] == [1999, 1999]
    assert await contradictions(shop) == []
    assert (await verify_ledger(shop.parts.database)).violations == ()


async def balance(shop: Shop) -> int:
    """Return the amount owed to the merchant."""
    owed: int = await shop.value(
        "select coalesce(-sum(amount_minor), 0)::bigint from ledger_line"
        " where account in ('money.merchants', 'money.credits', 'money.chargebacks')"
    )
    return owed


async def test_disputes_are_recorded_without_captured_money(shop: Shop) -> None:
    """Disputes of refunded, voided, declined and open payments are recorded, posted and acknowledged."""
    credited, voided, held = [await shop.pay(external_id=f"user-{n}") for n in range(3)]
    await shop.credit(credited.transaction_id)
    await shop.void(voided.transaction_id)
    shop.acquirer.plan(Plan(Declined("05")))
    declined = await shop.pay(external_id="user-4")
    authorized = await shop.authorize(external_id="user-5")
    for n, paid in enumerate((credited, voided, held, declined, authorized)):
        await dispute(shop, paid, f"d-{n}")
    assert await import_all_disputes(shop.parts.disputes) == 5
    paid_of = {row[3]: (row[0], row[-1]) for row in await recorded(shop)}
    assert paid_of == {
        credited.transaction_id: (1999, 1999),
        voided.transaction_id: (1999, 1999),
        held.transaction_id: (1999, 0),
        declined.transaction_id: (1999, 1999),
        authorized.transaction_id: (1999, 1999),
    }
    assert len(shop.acquirer.acknowledged) == 5
    assert await balance(shop) == -4 * 1999
    assert (await shop.capture(authorized.transaction_id)).payment["status"] == "success"
    assert (await verify_ledger(shop.parts.database)).violations == ()


async def test_a_dispute_of_an_open_payment(shop: Shop) -> None:
    """A payment with an open outcome is charged back, and gets its outcome later."""
    held, paying = await shop.start()
    reference = shop.acquirer.asked[-1].reference
    transaction_id = int(reference.partition("-")[0])
    stored = await shop.stored(transaction_id)
    shop.acquirer.disputes.append(
        AcquirerDispute("d-1", str(MERCHANT), reference, stored.money, "10.4", due_at=stored.created_at)
    )
    assert await import_all_disputes(shop.parts.disputes) == 1
    held.set()
    assert (await paying).payment["status"] == "success"
    assert await balance(shop) == 0
    assert "amount" in await faults_of(shop.credit(transaction_id))
    assert (await verify_ledger(shop.parts.database)).violations == ()


async def test_a_dispute_in_another_currency_reduces_nothing(shop: Shop) -> None:
    """It is recorded in the issuer's currency, and the amount left in the payment's stays."""
    paid = await shop.pay()
    await dispute(shop, paid, money=Money(2100, Currency.of("EUR")))
    assert await import_all_disputes(shop.parts.disputes) == 1
    [row] = await shop.fetch("select amount_minor, currency from transaction where mode = 'chargeback'")
    assert tuple(row) == (2100, "EUR")
    assert (await shop.credit(paid.transaction_id)).payment["amount"] == Decimal("19.99")
    assert (await verify_ledger(shop.parts.database)).violations == ()


async def test_a_dispute_of_a_refund_is_about_its_sale(shop: Shop) -> None:
    """A dispute under the reference of a refund is about the refunded sale."""
    paid = await shop.pay()
    refund = await shop.credit(paid.transaction_id, "5.00")
    await dispute(shop, refund)
    assert await import_all_disputes(shop.parts.disputes) == 1
    assert [(row[0], row[3]) for row in await recorded(shop)] == [(500, paid.transaction_id)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"reference": "1-1"},
        {"reference": "x"},
        {"acceptor": str(OTHER_MERCHANT)},
        {"acceptor": "x"},
        {"acceptor": "9" * 30},
    ],
)
async def test_a_dispute_of_an_unknown_payment_is_not_acknowledged(shop: Shop, wrong: dict[str, str]) -> None:
    """It is not acknowledged, and does not delay other disputes."""
    paid = await shop.pay()
    await dispute(shop, paid, "d-1", **wrong)
    await dispute(shop, paid, "d-2")
    assert await import_all_disputes(shop.parts.disputes) == 1
    assert shop.acquirer.acknowledged == {"d-2"}


async def test_a_dispute_of_an_unanswered_attempt_is_ignored(shop: Shop) -> None:
    """A dispute that names an attempt without a response is not recorded."""
    paid = await shop.pay()
    await dispute(shop, paid, reference=f"{paid.transaction_id}-2")
    assert await import_all_disputes(shop.parts.disputes) == 0
    assert await recorded(shop) == []


async def test_a_dispute_is_due_by_the_merchants_clock(shop: Shop) -> None:
    """A dispute is imported when it is due by its merchant's clock, and dated by it."""
    paid = await shop.pay()
    due_at = (await shop.stored(paid.transaction_id)).created_at + timedelta(days=3)
    await dispute(shop, paid, due_at=due_at)
    await advance(shop, 2)
    assert await import_all_disputes(shop.parts.disputes) == 0
    await shop.value("update merchant set clock_offset = '9 days' where merchant_id = $1", OTHER_MERCHANT)
    await shop.value("update merchant set clock_offset = '2 days' where merchant_id = $1", MERCHANT)
    assert await import_all_disputes(shop.parts.disputes) == 0
    await advance(shop, 1)
    assert await import_all_disputes(shop.parts.disputes) == 1
    created_at: datetime = await shop.value("select created_at from transaction where mode = 'chargeback'")
    assert created_at >= due_at
    queries = shop.acquirer.disputes_asked
    assert all(query.acceptor is None for query in queries)
    assert set(queries[-1].ahead) == {str(MERCHANT), str(OTHER_MERCHANT)}
    assert len([query for query in queries if query.after is None]) == 3


async def test_disputes_of_one_merchant_can_be_imported(shop: Shop) -> None:
    """For the virtual clock, the next due time and the import are those of one merchant."""
    assert await find_next_dispute(shop.parts.disputes, MERCHANT) is None
    paid, later = await shop.pay(), await shop.pay(external_id="user-2")
    created_at = (await shop.stored(paid.transaction_id)).created_at
    first, second = created_at + timedelta(days=3), created_at + timedelta(days=8)
    await dispute(shop, later, "d-2", due_at=second)
    await dispute(shop, paid, "d-1", due_at=first)
    assert await find_next_dispute(shop.parts.disputes, MERCHANT) == first
    assert await find_next_dispute(shop.parts.disputes, OTHER_MERCHANT) is None
    await shop.value("update merchant set clock_offset = '4 days'")
    assert await import_disputes(shop.parts.disputes, merchant_id=OTHER_MERCHANT) == 0
    assert await import_disputes(shop.parts.disputes, merchant_id=MERCHANT) == 1
    assert await find_next_dispute(shop.parts.disputes, MERCHANT) == second
    assert [row[3] for row in await recorded(shop)] == [paid.transaction_id]


async def test_all_pages_are_imported(shop: Shop) -> None:
    """All pages are imported, also if many disputes in them cannot be recorded."""
    paid = await shop.pay()
    cent = Money(1, Currency.of("USD"))
    for number in range(9):
        await dispute(shop, paid, f"d-{number}", money=cent, **({} if number % 3 else {"reference": "1-1"}))
    assert await import_all_disputes(shop.parts.disputes) == 6
    assert len(await recorded(shop)) == 6


async def test_a_silent_acquirer_is_queried_again(shop: Shop) -> None:
    """Without a response the loop queries again, and the virtual clock gets the error."""
    await dispute(shop, await shop.pay())
    shop.acquirer.tells_disputes = False
    assert await import_all_disputes(shop.parts.disputes) == 0
    for asking in (
        import_disputes(shop.parts.disputes, merchant_id=MERCHANT),
        find_next_dispute(shop.parts.disputes, MERCHANT),
    ):
        with pytest.raises(Unavailable):
            await asking
    shop.acquirer.tells_disputes = True
    assert await import_all_disputes(shop.parts.disputes) == 1


async def test_messages_have_merchant_time(shop: Shop) -> None:
    """An authorization and a capture are sent with their merchant time, by which issuers count days."""
    held = await shop.authorize()
    captured = await shop.capture(held.transaction_id)
    [asked], [(_, operated)] = shop.acquirer.asked, shop.acquirer.operated
    assert asked.transacted_at == (await shop.stored(held.transaction_id)).created_at
    assert operated.transacted_at == (await shop.stored(captured.transaction_id)).created_at


async def test_a_silent_acquirer_delays_no_other(shop: Shop) -> None:
    """Each acquirer reports only its own payments, and a silent one delays no other."""
    first, second = ScriptedAcquirer(name="first", tells_disputes=False), ScriptedAcquirer(name="second")
    shop = open_shop(shop.parts.database, first, second)
    first.plan(Plan(not_sent=True))
    theirs = await shop.pay()
    assert [order.reference for order in second.asked] == [f"{theirs.transaction_id}-2"]
    told = await dispute(shop, theirs)
    second.disputes.append(told)
    await import_all_disputes(shop.parts.disputes)
    assert [row[3] for row in await recorded(shop)] == [theirs.transaction_id]
    first.tells_disputes = True
    await import_all_disputes(shop.parts.disputes)
    assert first.acknowledged == set()
    assert len(await recorded(shop)) == 1
