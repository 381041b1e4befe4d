"""The cost of a payment: statements sent to PostgreSQL, and rows read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.database import CountingDatabase
from tests.support.shop import Shop, all_at_once, claim, open_shop, price

from tollhouse.composition.settings import Settings

#: Of each transaction: its beginning and its end.
FRAME = 2


@pytest.fixture
async def counting(shop: Shop, database_dsn: str) -> AsyncIterator[Shop]:
    """A warm process that counts its statements: IDs reserved, keys made, the catalog read."""
    database = await CountingDatabase.connect(database_dsn, schema="gateway", max_size=1)
    counting = open_shop(database, shop.acquirer)
    await counting.pay(token=await counting.tokenize(), prices=(price(999), price(999, "30d")), external_id="warm")
    yield counting
    await counting.quiet()
    await database.close()


def begun_statements(shop: Shop) -> list[str]:
    """Return a list to which counted statements are appended."""
    database = shop.parts.database
    assert isinstance(database, CountingDatabase)
    return database.statements


async def count(shop: Shop, **changes: Any) -> list[str]:
    """Pay, and return the statements."""
    statements = begun_statements(shop)
    statements.clear()
    assert (await shop.pay(**changes)).outcome == ("success", "0")
    return list(statements)


async def test_a_card_payment_takes_two_round_trips(counting: Shop) -> None:
    """Begin and finish are one round trip each, with card, last card, entries and event."""
    begin, settle = await count(counting)
    assert begin.startswith("select * from begin_payments_v1(")
    assert settle.startswith("select * from finish_payments_v1(")


async def test_velocity_limits_cost_no_round_trip(counting: Shop) -> None:
    """Attempts are counted and recorded when the payment begins."""
    settings = Settings(velocity_attempts_by_card=100)
    limited = open_shop(counting.parts.database, counting.acquirer, settings=settings)
    await limited.pay()
    assert len(await count(limited)) == len(await count(counting)) == 2


async def test_an_idempotency_key_costs_no_round_trip(counting: Shop) -> None:
    """A new idempotency key is claimed when the payment begins."""
    assert len(await count(counting, claim=claim("r1"))) == 2


async def test_a_token_costs_one_read(counting: Shop) -> None:
    """A payment by token reads the token."""
    token = await counting.tokenize()
    assert len(await count(counting, token=token)) == 1 + 2


async def test_a_stored_card_costs_one_read(counting: Shop) -> None:
    """A payment by stored card reads the card, and writes neither consumer nor card."""
    account = (await counting.pay()).payment["source"]["paymentAccountId"]
    assert len(await count(counting, account_id=account)) == 1 + 2


async def test_a_subscription_costs_no_statement(counting: Shop) -> None:
    """A subscription is inserted when its payment begins, and started when it finishes."""
    assert len(await count(counting, prices=(price(999), price(999, "30d")))) == 2


async def test_a_token_is_one_write(counting: Shop) -> None:
    """Token and security code are one write."""
    statements = begun_statements(counting)
    statements.clear()
    await counting.tokenize()
    assert len(statements) == FRAME + 2


async def test_sixty_payments_share_their_statements(counting: Shop) -> None:
    """Sixty concurrent payments need a few batches, not sixty times the statements."""
    statements = begun_statements(counting)
    statements.clear()
    paid = await all_at_once(*(counting.pay(external_id=f"user-{n}") for n in range(60)))
    assert {each.outcome for each in paid} == {("success", "0")}
    assert len(statements) <= 10 * 2


async def test_the_durable_steps_read_by_keys_alone(counting: Shop) -> None:
    """Begin and finish read a few rows by key, also while the planner assumes an empty table."""
    tables = [
        "payment",
        "transaction",
        "open_attempt",
        "closed_attempt",
        "request_claim",
        "consumer",
        "account",
        "event",
    ]
    reads = (
        "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int from pg_stat_user_tables where relname = any($1)"
    )

    async def count_reads(first: int) -> int:
        await counting.value("select pg_stat_force_next_flush()")
        before: int = await counting.value(reads, tables)
        for n in range(first, first + 5):
            await counting.pay(external_id=f"user-{n}", claim=claim(f"r{n}"))
        await counting.value("select pg_stat_force_next_flush()")
        after: int = await counting.value(reads, tables)
        return after - before

    early = await count_reads(0)
    for first in range(5, 45, 5):
        await count_reads(first)
    assert await count_reads(45) <= early + 5
