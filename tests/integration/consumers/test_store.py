"""Rows of consumers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from tests.support.shop import furnish, open_shop

from tollhouse.consumers.model import derive_consumer_id
from tollhouse.consumers.store import (
    ConsumerRow,
    LastAccountRow,
    insert_consumers,
    select_consumer,
)
from tollhouse.kernel.ids import is_consumer_id
from tollhouse.storage.database import Database

KEY = b"k" * 32


def row(external_id: str, *, name: str = "Jane", merchant_id: int = 1) -> ConsumerRow:
    """Return a consumer to be created."""
    consumer_id = derive_consumer_id(KEY, merchant_id=merchant_id, external_id=external_id)
    return ConsumerRow(merchant_id, consumer_id, external_id, f'{{"firstName": "{name}"}}')


async def update_last_accounts(connection: Any, rows: Sequence[LastAccountRow]) -> None:
    """Store accounts as finish does."""
    accounts = [(place, *row) for place, row in enumerate(rows, 1)]
    await connection.execute("select update_last_accounts_v1($1::last_account_v1[])", accounts)


@pytest.fixture(autouse=True)
async def _merchants(database: Database) -> None:
    await furnish(database)


async def test_a_consumer_is_created_once(database: Database) -> None:
    """The first description of a consumer stays, within a batch and after it."""
    async with database.transaction() as connection:
        await insert_consumers(connection, [row("user-1"), row("user-1", name="Janet"), row("user-2")])
        await insert_consumers(connection, [row("user-1", name="Jim")])
        await insert_consumers(connection, [])
        found = await select_consumer(connection, merchant_id=1, consumer_id=row("user-1").consumer_id)
        count = await connection.fetchval("select count(*) from consumer")
    assert count == 2
    assert found is not None
    assert (found[0].external_id, found[0].profile, found[1]) == ("user-1", {"firstName": "Jane"}, None)


async def test_consumers_belong_to_a_merchant(database: Database) -> None:
    """The same external id of two merchants is two consumers, and neither sees the other's."""
    one, other = row("user-1"), row("user-1", merchant_id=2)
    assert one.consumer_id != other.consumer_id
    async with database.transaction() as connection:
        await insert_consumers(connection, [one, other])
        assert await select_consumer(connection, merchant_id=2, consumer_id=one.consumer_id) is None


def test_derived_ids() -> None:
    """An id derives from merchant and external id under the key, in the form of all ids, whatever the external id."""
    ids = [row(text).consumer_id for text in ("user-1", "user-2", "", "ü", "x" * 255)]
    ids += [derive_consumer_id(b"o" * 32, merchant_id=1, external_id="user-1")]
    ids += [derive_consumer_id(KEY, merchant_id=11, external_id="user-1")]
    assert len(set(ids)) == 7
    assert all(map(is_consumer_id, ids))


async def test_the_last_account(database: Database) -> None:
    """The last account of a batch counts, for consumers that are there."""
    names = ("a", "b", "a", "gone")
    rows = [LastAccountRow(1, row(name).consumer_id, UUID(int=n), has_paid=True) for n, name in enumerate(names, 1)]
    async with database.transaction() as connection:
        await insert_consumers(connection, [row("a"), row("b")])
        await update_last_accounts(connection, rows)
        await update_last_accounts(connection, rows)
        last = [
            (await select_consumer(connection, merchant_id=1, consumer_id=row(name).consumer_id) or (None, None))[1]
            for name in ("a", "b", "gone")
        ]
    assert last == [UUID(int=3), UUID(int=2), None]


@pytest.mark.parametrize("is_one_batch", [True, False])
async def test_paid_card_precedes_verified_card(database: Database, *, is_one_batch: bool) -> None:
    """A verified card is the last one until a card has paid; after that only another paid card replaces it."""
    happened = [(1, False), (2, False), (3, True), (4, False), (5, True), (6, False)]
    expected = [1, 2, 3, 3, 5, 5]
    rows = [LastAccountRow(1, row("a").consumer_id, UUID(int=n), has_paid) for n, has_paid in happened]
    last = []
    async with database.transaction() as connection:
        await insert_consumers(connection, [row("a")])
        for batch in [rows] if is_one_batch else [[each] for each in rows]:
            await update_last_accounts(connection, batch)
            found = await select_consumer(connection, merchant_id=1, consumer_id=row("a").consumer_id)
            last.append(found[1].int if found and found[1] else None)
    assert last == (expected[-1:] if is_one_batch else expected)


async def test_batches_that_meet_do_not_deadlock(database: Database) -> None:
    """Batches of the same consumers in whatever order, at once, wait for each other and all get through."""
    names = [f"user-{n}" for n in range(30)]

    async def write(seed: int) -> None:
        shuffled = random.Random(seed).sample(names, len(names))
        async with database.transaction() as connection:
            await insert_consumers(connection, [row(name) for name in shuffled])
            accounts = [
                LastAccountRow(1, row(name).consumer_id, UUID(int=seed + 1), has_paid=seed % 3 > 0) for name in shuffled
            ]
            await update_last_accounts(connection, accounts)

    await asyncio.gather(*(write(seed) for seed in range(12)))
    async with database.acquire() as connection:
        assert await connection.fetchval("select count(*) from consumer where last_account_id is not null") == 30


async def test_first_payments_of_one_consumer_at_once(database: Database) -> None:
    """Two first payments of one consumer at the same moment make one consumer, described by the earlier of them."""
    shop = open_shop(database)
    paid = await asyncio.gather(
        *(shop.pay(consumer={"firstName": name}, metadata=f'{{"n": "{name}"}}') for name in ("Jane", "Janet", "Jim"))
    )
    assert len({each.body["consumer"]["id"] for each in paid}) == 1
    assert await shop.value("select count(*) from consumer") == 1
