"""A shop at a gateway on a real database, for the verbs of payments and what they stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.shop import Shop, furnish, open_shop

from tollhouse.composition.payment_parts import PaymentParts
from tollhouse.storage.database import Database


@pytest.fixture
async def shop(database: Database) -> AsyncIterator[Shop]:
    """One process of the gateway, with an acquirer that approves until it is told otherwise."""
    await furnish(database)
    shop = open_shop(database)
    yield shop
    await shop.quiet()


@pytest.fixture
async def other_process(shop: Shop, database_dsn: str) -> AsyncIterator[Shop]:
    """A second process of the same gateway, with connections of its own and the same acquirer."""
    database = await Database.connect(database_dsn, schema="gateway")
    other = open_shop(database, shop.acquirer)
    yield other
    await other.quiet()
    await database.close()


@pytest.fixture
def parts(shop: Shop) -> PaymentParts:
    """What the verbs of payments work with."""
    return shop.parts
