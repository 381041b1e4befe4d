"""Random histories of operations, in two concurrent processes, with an acquirer that may do anything."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.integration.payments.test_crash import contradictions
from tests.support.acquirer import Plan
from tests.support.shop import Paid, Shop, all_at_once

from tollhouse.acquirers.model import Declined
from tollhouse.kernel.errors import Rejection
from tollhouse.ledger_check.verify import verify_ledger

#: What breaks the rules of money, by purchase: nothing.
BROKEN = """
    with purchase as (
        select payment_id,
            max(amount_minor) filter (where mode in ('sale', 'auth')) as authorized,
            coalesce(sum(amount_minor) filter (
                where status = 'success' and mode in ('sale', 'capture')), 0) as captured,
            coalesce(sum(amount_minor) filter (where status <> 'fail' and mode = 'credit'), 0) as credited,
            count(*) filter (where status <> 'fail' and mode = 'capture') as captures,
            count(*) filter (where status <> 'fail' and mode = 'void') as voids
        from transaction group by payment_id
    )
    select * from purchase
    where captured > authorized or credited > captured or captures > 1 or voids > 1 or (voids = 1 and credited > 0)
"""
PLANS = [
    Plan(),
    Plan(),
    Plan(),
    Plan(Declined("05")),
    Plan(lost="answer"),
    Plan(lost="request"),
    Plan(Declined("57"), lost="answer"),
    Plan(not_sent=True),
]


async def operate(chance: random.Random, shops: tuple[Shop, Shop], transaction_id: int) -> Any:
    """Run a random operation."""
    shop, amount = chance.choice(shops), chance.choice([None, "5.00", "12.00", "19.99"])
    verb = chance.choice(["capture", "credit", "credit", "credit", "void"])
    if verb == "void":
        return await shop.void(transaction_id)
    return await (shop.capture if verb == "capture" else shop.credit)(transaction_id, amount)


@pytest.mark.parametrize("seed", range(6))
async def test_no_history_breaks_the_rules_of_money(shop: Shop, other_process: Shop, seed: int) -> None:
    """Captured <= authorized, refunded <= captured, one capture, one void; acquirer and ledger agree."""
    chance = random.Random(seed)
    made = [await (shop.authorize if n % 2 else shop.pay)(metadata=f'{{"n": {n}}}') for n in range(4)]
    for _ in range(4):
        shop.acquirer.plan(*chance.choices(PLANS, k=12))
        work = (operate(chance, (shop, other_process), paid.transaction_id) for paid in made for _ in range(3))
        results = await all_at_once(*work)
        assert all(isinstance(each, Paid | Rejection) for each in results), results
        assert await shop.fetch(BROKEN) == []
        shop.acquirer.plans.clear()
        for row in await shop.fetch("select transaction_id from transaction where status = 'pending'"):
            await chance.choice((shop, other_process)).resolve(row["transaction_id"])
    assert await shop.fetch(BROKEN) == []
    assert await contradictions(shop) == []
    approved = await shop.fetch("select reference from attempt where state = 'approved'")
    assert {row["reference"] for row in approved} == set(shop.acquirer.charged)
    assert (await verify_ledger(shop.parts.database)).violations == ()
    assert shop.acquirer.operated
