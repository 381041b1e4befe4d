"""What a payment costs: statements sent to PostgreSQL, counted, and what they read."""

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
    """A process that counts its statements, warm: ids reserved, keys made, the catalog read."""
    database = await CountingDatabase.connect(database_dsn, schema="gateway", max_size=1)
    counting = open_shop(database, shop.acquirer)
    await counting.pay(token=await counting.tokenize(), prices=(price(999), price(999, "30d")), external_id="warm")
    yield counting
    await counting.quiet()
    await database.close()


def begun_statements(shop: Shop) -> list[str]:
    """Return the counted statements, from an empty list on."""
    database = shop.parts.database
    assert isinstance(database, CountingDatabase)
    return database.statements


async def count(shop: Shop, **changes: Any) -> list[str]:
    """Pay, and return what was sent for it."""
    statements = begun_statements(shop)
    statements.clear()
    assert (await shop.pay(**changes)).outcome == ("success", "0")
    return list(statements)


async def test_a_card_payment(counting: Shop) -> None:
    """Two durable writes, a round trip each: the intention; outcome, card, last card, books and event."""
    begin, settle = await count(counting)
    assert begin.startswith("select * from begin_payments_v1(")
    assert settle.startswith("select * from finish_payments_v1(")


async def test_a_card_payment_with_velocity_limits(counting: Shop) -> None:
    """Limits cost no round trip: attempts are counted and recorded as the payment begins."""
    settings = Settings(velocity_attempts_by_card=100)
    limited = open_shop(counting.parts.database, counting.acquirer, settings=settings)
    await limited.pay()
    assert len(await count(limited)) == len(await count(counting)) == 2


async def test_a_card_payment_with_request_id(counting: Shop) -> None:
    """A request id costs nothing where it is won."""
    assert len(await count(counting, claim=claim("r1"))) == 2


async def test_a_token_payment(counting: Shop) -> None:
    """A token costs a look."""
    token = await counting.tokenize()
    assert len(await count(counting, token=token)) == 1 + 2


async def test_a_stored_card(counting: Shop) -> None:
    """A stored card costs a look, and saves the consumer and the card."""
    account = (await counting.pay()).payment["source"]["paymentAccountId"]
    assert len(await count(counting, account_id=account)) == 1 + 2


async def test_a_subscription(counting: Shop) -> None:
    """A subscription costs no statement: it is written with the payment that begins, and started with its outcome."""
    assert len(await count(counting, prices=(price(999), price(999, "30d")))) == 2


async def test_tokenize(counting: Shop) -> None:
    """A token is one durable write: token and security code."""
    statements = begun_statements(counting)
    statements.clear()
    await counting.tokenize()
    assert len(statements) == FRAME + 2


async def test_sixty_payments_share_their_statements(counting: Shop) -> None:
    """Payments at once cost a few batches and not sixty times as much."""
    statements = begun_statements(counting)
    statements.clear()
    paid = await all_at_once(*(counting.pay(external_id=f"user-{n}") for n in range(60)))
    assert {each.outcome for each in paid} == {("success", "0")}
    assert len(statements) <= 10 * 2


async def test_the_durable_steps_read_by_keys_alone(counting: Shop) -> None:
    """Begin and finish read no table from end to end, also while the planner takes it for empty: a few rows each."""
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
