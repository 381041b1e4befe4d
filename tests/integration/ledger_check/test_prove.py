"""The worker's proof: what is new at once, everything in turn, and what is wrong remembered until it is right."""

from __future__ import annotations

from typing import Any

from tests.support.shop import Shop, all_at_once

from tollhouse.ipn.number import number_batch
from tollhouse.ledger_check.store import count_violations
from tollhouse.ledger_check.verify import verify_all_new, verify_new_entries
from tollhouse.storage.database import Database

SPOIL = "insert into ledger_entry values (1, $1, 2, 'money.acquirers', 'money.merchants', 5, 'USD')"


async def repair(database: Database, statement: str, *arguments: Any) -> None:
    """Change the books as somebody with a database shell can."""
    async with database.transaction() as connection:
        await connection.execute("alter table ledger_entry disable trigger ledger_entry_is_final")
        await connection.execute(statement, *arguments)
        await connection.execute("alter table ledger_entry enable trigger ledger_entry_is_final")


async def violations(shop: Shop) -> list[int]:
    """Return the transactions about which the worker found the books wrong."""
    return [row[0] for row in await shop.fetch("select transaction_id from ledger_violation order by 1")]


async def test_new_facts_are_proved_as_they_are_numbered(shop: Shop) -> None:
    """A proof takes the next facts in their order, each once, however far the round has come."""
    paid = [(await shop.pay()).transaction_id for _ in range(3)]
    for spoilt in paid[1:]:
        await shop.value(SPOIL, spoilt)
    await number_batch(shop.parts.database)
    for new, found in ((1, []), (1, paid[1:2]), (1, paid[1:]), (0, paid[1:])):
        # The round is kept where there is nothing.
        await shop.value("update ledger_round set merchant_id = 999")
        assert await verify_new_entries(shop.parts.database, new_facts=1) == new
        assert await violations(shop) == found


async def test_the_round_meets_what_was_changed_later(shop: Shop) -> None:
    """Rows that were proved are proved again, and a fault is forgotten when it is no more."""
    database = shop.parts.database
    sold = [(await shop.pay()).transaction_id for _ in range(3)]
    await number_batch(database)
    assert await verify_all_new(database) == 3
    assert await violations(shop) == []
    await shop.value(SPOIL, sold[1])
    for _ in range(2):
        await verify_new_entries(database, round_step=2)
    assert await violations(shop) == [sold[1]]
    async with database.acquire() as connection:
        assert await count_violations(connection) == 1
    await repair(database, "delete from ledger_entry where number = 2")
    for _ in range(2):
        await verify_new_entries(database, round_step=2)
    assert await violations(shop) == []
    assert await shop.value("select rounds from ledger_round") >= 2


async def test_without_a_step_of_the_round(shop: Shop) -> None:
    """When there is much that is new, the round waits where it is."""
    paid = [(await shop.pay()).transaction_id for _ in range(2)]
    await number_batch(shop.parts.database)
    for each in paid:
        await shop.value(SPOIL, each)
    assert await verify_new_entries(shop.parts.database, new_facts=1, round_step=0) == 1
    assert await violations(shop) == paid[:1]
    assert await shop.value("select (merchant_id, transaction_id, rounds) = (0, 0, 0) from ledger_round")


async def test_several_workers(shop: Shop) -> None:
    """Workers that prove at once do not wait for each other, and nothing is proved twice or left out."""
    database = shop.parts.database
    for _ in range(4):
        await shop.pay()
    await number_batch(database)
    found = await all_at_once(*(verify_new_entries(database, new_facts=4) for _ in range(4)))
    assert sorted(found) == [0, 0, 0, 4]
    assert await shop.value("select proven_sequence from ledger_proof") == 4


async def test_metric_counts_transactions_with_violations(shop: Shop) -> None:
    """The metric is the number of transactions with violations."""
    sold = await shop.pay()
    await shop.value(SPOIL, sold.transaction_id)
    await verify_all_new(shop.parts.database)
    await shop.gateway.refresh_metrics()
    assert b"\ntollhouse_ledger_violations 1.0\n" in shop.gateway.metrics.render()
