"""Disputes taken in: each recorded once, whoever dies in between, and by the merchant's clock."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.integration.payments.test_crash import contradictions
from tests.integration.payments.test_holds import advance
from tests.support.acquirer import Plan, ScriptedAcquirer
from tests.support.shop import MERCHANT, OTHER_MERCHANT, Paid, Shop, open_shop

from tollhouse.acquirers.model import Dispute
from tollhouse.kernel.errors import Unavailable
from tollhouse.kernel.money import Currency, Money
from tollhouse.ledger.verify import verify_books
from tollhouse.payments.disputes import find_next_dispute, take_in_disputes
from tollhouse.worker.disputes import take_in_all

RECORDED = """
    select t.amount_minor, t.status::text, t.code, o.basis_id, o.cause::text, o.reason
    from transaction t join operation o using (merchant_id, transaction_id)
    where t.mode = 'chargeback' order by t.transaction_id
"""


async def dispute(shop: Shop, paid: Paid, name: str = "d-1", **changes: Any) -> Dispute:
    """Let the acquirer tell that a payment was disputed, by default now."""
    stored = await shop.stored(paid.transaction_id)
    fields: dict[str, Any] = {
        "dispute_id": name,
        "acceptor": str(MERCHANT),
        "reference": stored.attempt.reference,
        "money": stored.money,
        "reason": "10.4",
        "due_at": stored.created_at,
    }
    told = Dispute(**(fields | changes))
    shop.acquirer.disputes.append(told)
    return told


async def recorded(shop: Shop) -> list[tuple[Any, ...]]:
    """Return the charge-backs."""
    return [tuple(row) for row in await shop.fetch(RECORDED)]


async def test_a_dispute_is_recorded(shop: Shop) -> None:
    """What an issuer took is a charge-back with its event and its entry in the books, and is acknowledged."""
    paid = await shop.pay()
    await dispute(shop, paid)
    assert await take_in_all(shop.tools) == 1
    assert await recorded(shop) == [(1999, "fail", "1050", paid.transaction_id, "issuer", "10.4")]
    assert shop.acquirer.acknowledged == {"d-1"}
    assert await shop.value("select count(*) from event where kind = 'chargeback'") == 1
    entries = "select count(*) from ledger_entry where debit::text = 'money.chargebacks'"
    assert await shop.value(entries) == 1
    assert await take_in_all(shop.tools) == 0
    assert await contradictions(shop) == []
    assert (await verify_books(shop.tools.database)).violations == ()


async def test_a_capture_is_disputed(shop: Shop) -> None:
    """A dispute may name a capture, and a part of it."""
    held = await shop.authorize()
    captured = await shop.capture(held.transaction_id)
    await dispute(shop, captured, money=Money(500, Currency.of("USD")))
    assert await take_in_all(shop.tools) == 1
    [row] = await recorded(shop)
    assert row[0] == 500


async def test_a_dispute_is_told_again(shop: Shop, other_process: Shop) -> None:
    """A process that dies before it acknowledges loses nothing, and whoever is told again records nothing twice."""
    paid = await shop.pay()
    await dispute(shop, paid, money=Money(700, Currency.of("USD")))
    shop.acquirer.hears_acknowledgements = False
    for process in (shop, shop, other_process):
        assert await take_in_disputes(process.tools) == 1
    await asyncio.gather(*(take_in_disputes(process.tools) for process in (shop, other_process) * 3))
    shop.acquirer.hears_acknowledgements = True
    assert await take_in_disputes(other_process.tools) == 1
    assert [row[0] for row in await recorded(shop)] == [700]
    assert await shop.value("select count(*) from event where kind = 'chargeback'") == 1
    assert await contradictions(shop) == []


async def test_two_disputes_of_one_payment(shop: Shop) -> None:
    """Two disputes about one payment are two charge-backs, together no more than was paid."""
    paid = await shop.pay()
    for name in ("d-1", "d-2", "d-3"):
        await dispute(shop, paid, name, money=Money(1200, Currency.of("USD")))
    await take_in_all(shop.tools)
    assert [row[0] for row in await recorded(shop)] == [1200, 799]
    assert shop.acquirer.acknowledged == {"d-1", "d-2", "d-3"}
    assert (await verify_books(shop.tools.database)).violations == ()


async def test_what_waits_for_another_operation(shop: Shop) -> None:
    """While a void is open a dispute waits, and is told again; the others are recorded meanwhile."""
    waiting, other = await shop.pay(), await shop.pay(external_id="user-2")
    shop.acquirer.plan(Plan(late=True))
    voided = await shop.hasty.void(waiting.transaction_id)
    assert voided.payment["status"] == "pending"
    await dispute(shop, waiting, "d-1")
    await dispute(shop, other, "d-2")
    assert await take_in_all(shop.tools) == 1
    assert shop.acquirer.acknowledged == {"d-2"}
    assert [row[3] for row in await recorded(shop)] == [other.transaction_id]


async def test_what_was_given_back(shop: Shop) -> None:
    """A dispute about a payment of which nothing is left is acknowledged, and nothing is written."""
    paid = await shop.pay()
    await dispute(shop, paid)
    await shop.credit(paid.transaction_id)
    await take_in_all(shop.tools)
    assert await recorded(shop) == []
    assert shop.acquirer.acknowledged == {"d-1"}


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
async def test_an_unknown_payment(shop: Shop, wrong: dict[str, str]) -> None:
    """A dispute about what this gateway never sent is not acknowledged, and holds no other one up."""
    paid = await shop.pay()
    await dispute(shop, paid, "d-1", **wrong)
    await dispute(shop, paid, "d-2")
    assert await take_in_all(shop.tools) == 1
    assert shop.acquirer.acknowledged == {"d-2"}


async def test_a_wrong_attempt(shop: Shop) -> None:
    """A dispute that names an attempt which was not answered is about nothing."""
    paid = await shop.pay()
    await dispute(shop, paid, reference=f"{paid.transaction_id}-2")
    assert await take_in_all(shop.tools) == 0
    assert await recorded(shop) == []


async def test_by_the_merchants_clock(shop: Shop) -> None:
    """A dispute is taken in when it is due by the clock of its merchant, and is dated by that."""
    paid = await shop.pay()
    due_at = (await shop.stored(paid.transaction_id)).created_at + timedelta(days=3)
    await dispute(shop, paid, due_at=due_at)
    await advance(shop, 2)
    assert await take_in_all(shop.tools) == 0
    await shop.value("update merchant set clock_offset = '9 days' where merchant_id = $1", OTHER_MERCHANT)
    await shop.value("update merchant set clock_offset = '2 days' where merchant_id = $1", MERCHANT)
    assert await take_in_all(shop.tools) == 0
    await advance(shop, 1)
    assert await take_in_all(shop.tools) == 1
    created_at: datetime = await shop.value("select created_at from transaction where mode = 'chargeback'")
    assert created_at >= due_at
    queries = shop.acquirer.disputes_asked
    assert all(query.acceptor is None for query in queries)
    assert set(queries[-1].ahead) == {str(MERCHANT), str(OTHER_MERCHANT)}
    assert len([query for query in queries if query.after is None]) == 3


async def test_one_merchant(shop: Shop) -> None:
    """For the virtual clock: when a merchant's next dispute falls due, and only that merchant's are taken in."""
    assert await find_next_dispute(shop.tools, MERCHANT) is None
    paid, later = await shop.pay(), await shop.pay(external_id="user-2")
    created_at = (await shop.stored(paid.transaction_id)).created_at
    first, second = created_at + timedelta(days=3), created_at + timedelta(days=8)
    await dispute(shop, later, "d-2", due_at=second)
    await dispute(shop, paid, "d-1", due_at=first)
    assert await find_next_dispute(shop.tools, MERCHANT) == first
    assert await find_next_dispute(shop.tools, OTHER_MERCHANT) is None
    await shop.value("update merchant set clock_offset = '4 days'")
    assert await take_in_disputes(shop.tools, merchant_id=OTHER_MERCHANT) == 0
    assert await take_in_disputes(shop.tools, merchant_id=MERCHANT) == 1
    assert await find_next_dispute(shop.tools, MERCHANT) == second
    assert [row[3] for row in await recorded(shop)] == [paid.transaction_id]


async def test_many_pages(shop: Shop) -> None:
    """All pages are taken in, however many of the disputes in them cannot be recorded."""
    paid = await shop.pay()
    cent = Money(1, Currency.of("USD"))
    for number in range(9):
        await dispute(shop, paid, f"d-{number}", money=cent, **({} if number % 3 else {"reference": "1-1"}))
    assert await take_in_all(shop.tools) == 6
    assert len(await recorded(shop)) == 6


async def test_an_acquirer_that_keeps_silent(shop: Shop) -> None:
    """Without an answer nothing is concluded: the loop looks again, and the virtual clock is told."""
    await dispute(shop, await shop.pay())
    shop.acquirer.tells_disputes = False
    assert await take_in_all(shop.tools) == 0
    for asking in (take_in_disputes(shop.tools, merchant_id=MERCHANT), find_next_dispute(shop.tools, MERCHANT)):
        with pytest.raises(Unavailable):
            await asking
    shop.acquirer.tells_disputes = True
    assert await take_in_all(shop.tools) == 1


async def test_messages_tell_the_merchants_time(shop: Shop) -> None:
    """An authorization and a capture bear when they were made, by which issuers count their days."""
    held = await shop.authorize()
    captured = await shop.capture(held.transaction_id)
    [asked], [(_, operated)] = shop.acquirer.asked, shop.acquirer.operated
    assert asked.transacted_at == (await shop.stored(held.transaction_id)).created_at
    assert operated.transacted_at == (await shop.stored(captured.transaction_id)).created_at


async def test_one_of_two_acquirers_keeps_silent(shop: Shop) -> None:
    """An acquirer that does not answer holds up no other; and one tells of its own payments only."""
    first, second = ScriptedAcquirer(name="first", tells_disputes=False), ScriptedAcquirer(name="second")
    shop = open_shop(shop.tools.database, first, second)
    first.plan(Plan(not_sent=True))
    theirs = await shop.pay()
    assert [order.reference for order in second.asked] == [f"{theirs.transaction_id}-2"]
    told = await dispute(shop, theirs)
    second.disputes.append(told)
    await take_in_all(shop.tools)
    assert [row[3] for row in await recorded(shop)] == [theirs.transaction_id]
    first.tells_disputes = True
    await take_in_all(shop.tools)
    assert first.acknowledged == set()
    assert len(await recorded(shop)) == 1
