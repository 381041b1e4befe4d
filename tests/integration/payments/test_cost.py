"""What a payment costs: statements sent to PostgreSQL, counted, and what they read."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.database import CountingDatabase
from tests.support.shop import Shop, all_at_once, claim, open_shop, price

from tollhouse.composition.settings import Settings
from tollhouse.consumers.store import queries as of_consumers
from tollhouse.payments.store import queries as of_payments
from tollhouse.storage.database import Database

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
    database = shop.tools.database
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
    for table in ("attempt", "transaction", "request_claim", "consumer"):
        assert f"update {table} " in settle
    for table in ("account", "ledger_entry", "event"):
        assert f"insert into {table} " in settle


async def test_a_card_payment_with_velocity_limits(counting: Shop) -> None:
    """Limits cost no round trip: attempts are counted and recorded as the payment begins."""
    settings = Settings(velocity_attempts_by_card=100)
    limited = open_shop(counting.tools.database, counting.acquirer, settings=settings)
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
    _, _, settle = await count(counting, account_id=account)
    assert "insert into account " not in settle


async def test_a_subscription(counting: Shop) -> None:
    """A pending subscription is written with the payment that begins, by the same call."""
    sent = await count(counting, prices=(price(999), price(999, "30d")))
    assert sent[0].startswith("select * from begin_payments_v1(")
    assert [sent.count("BEGIN;"), sent.count("COMMIT;")] == [1, 1]


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


@pytest.mark.parametrize(
    "query",
    [
        of_payments.move_attempts,
        of_consumers.update_last_accounts,
    ],
    ids=lambda query: query.__name__,
)
async def test_a_new_database_is_not_read_from_end_to_end(database: Database, query: Any) -> None:
    """What is planned while tables are empty finds its rows by their keys, since the plan stays when they grow."""
    parameters = len(set(re.findall(r"\$\d+", query.sql)))
    async with database.acquire() as connection:
        await connection.execute(f"prepare hot as {query.sql}")
        plan = await connection.fetch(f"explain execute hot ({', '.join(['null'] * parameters)})")
        await connection.execute("deallocate hot")
    assert not [line for (line,) in plan if "Seq Scan" in line and "merchant" not in line]
