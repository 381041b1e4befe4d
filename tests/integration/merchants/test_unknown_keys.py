"""Unknown API keys: what they cost, and that nobody else pays for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.support.database import CountingDatabase
from tests.support.shop import furnish

from tollhouse.kernel.clock import DatabaseClock
from tollhouse.kernel.errors import NotAuthenticated, RateLimited
from tollhouse.merchants.access import UNKNOWN_KEYS_BY_ADDRESS, MerchantAuthenticator
from tollhouse.merchants.keys import MAX_REMEMBERED, ApiKeys
from tollhouse.merchants.model import digest_api_key, new_api_key
from tollhouse.merchants.store import insert_api_key

HOME = "203.0.113.7"
MANY = 10 * UNKNOWN_KEYS_BY_ADDRESS


@pytest.fixture
async def counting(database_dsn: str) -> AsyncIterator[CountingDatabase]:
    """A database that counts its statements, with two merchants."""
    database = await CountingDatabase.connect(database_dsn, schema="gateway")
    await furnish(database)
    database.statements.clear()
    yield database
    await database.close()


async def add_key(database: CountingDatabase) -> str:
    """Give the first merchant one more key."""
    key = new_api_key("stage")
    async with database.acquire() as connection:
        await insert_api_key(connection, merchant_id=1, key=key)
    database.statements.clear()
    return key


def count_look_ups(database: CountingDatabase) -> int:
    """Return how many statements have read keys."""
    return sum("from api_key" in statement for statement in database.statements)


def open_door(database: CountingDatabase) -> MerchantAuthenticator:
    """Return a merchant_authenticator who has seen nobody yet."""
    return MerchantAuthenticator(database, DatabaseClock(), environment="stage")


async def refuse(merchant_authenticator: MerchantAuthenticator, key: str, *, address: str = HOME) -> type[Exception]:
    """Send a key that is not let in, and return the refusal."""
    with pytest.raises((NotAuthenticated, RateLimited)) as refused:
        await merchant_authenticator.authenticate_merchant(key, address=address)
    return refused.type


async def test_one_unknown_key_costs_one_query(counting: CountingDatabase) -> None:
    """An unknown key that is sent again and again is looked up once."""
    merchant_authenticator = open_door(counting)
    for _ in range(20):
        assert await refuse(merchant_authenticator, "th_stage_0") is NotAuthenticated
    assert count_look_ups(counting) == 1


async def test_unknown_keys_from_one_address_are_limited(counting: CountingDatabase) -> None:
    """Past the limit an address is told to wait, and its keys cost a query a second at most, however many they are."""
    merchant_authenticator = open_door(counting)
    rejections = [await refuse(merchant_authenticator, f"th_stage_{number}") for number in range(MANY)]
    assert rejections.count(NotAuthenticated) == UNKNOWN_KEYS_BY_ADDRESS
    assert rejections.count(RateLimited) == MANY - UNKNOWN_KEYS_BY_ADDRESS
    assert count_look_ups(counting) < UNKNOWN_KEYS_BY_ADDRESS + MANY // 10
    assert await refuse(merchant_authenticator, "th_stage_x", address="203.0.113.8") is NotAuthenticated


async def test_unknown_keys_at_the_same_time_are_looked_up_together(counting: CountingDatabase) -> None:
    """Callers from many addresses share a few queries."""
    merchant_authenticator = open_door(counting)
    await asyncio.gather(*(refuse(merchant_authenticator, f"th_stage_{n}", address=f"203.0.{n}.7") for n in range(200)))
    assert count_look_ups(counting) <= 5


async def test_a_subscriber_of_ipv6_is_one_address(counting: CountingDatabase) -> None:
    """The addresses of one IPv6 network are limited as one."""
    merchant_authenticator = open_door(counting)
    rejections = [
        await refuse(merchant_authenticator, f"th_stage_{n}", address=f"2001:db8::{n:x}") for n in range(MANY)
    ]
    assert rejections.count(NotAuthenticated) == UNKNOWN_KEYS_BY_ADDRESS
    assert await refuse(merchant_authenticator, "th_stage_x", address="2001:db8:0:1::1") is NotAuthenticated


async def test_the_limit_cannot_be_turned_against_the_owner_of_a_key(counting: CountingDatabase) -> None:
    """A known key is good from an address that has spent its limit, whether or not it was used before."""
    old, new = await add_key(counting), await add_key(counting)
    merchant_authenticator = open_door(counting)
    await merchant_authenticator.authenticate_merchant(old, address=HOME)
    for number in range(MANY):
        await refuse(merchant_authenticator, f"th_stage_{number}")
    for key in (old, new):
        assert (await merchant_authenticator.authenticate_merchant(key, address=HOME)).merchant_id == 1


async def test_partial_index_denies_no_key(counting: CountingDatabase) -> None:
    """An index that cannot hold all keys denies none."""
    key, other = await add_key(counting), await add_key(counting)
    api_keys = ApiKeys(counting, DatabaseClock(), max_indexed=1)
    for each in (key, other):
        assert await api_keys.find(digest_api_key(each), is_suspect=True)
    assert await api_keys.find(digest_api_key("th_stage_0"), is_suspect=True) is None


async def test_unknown_keys_do_not_displace_known_ones(counting: CountingDatabase) -> None:
    """A known key is not loaded again because of unknown keys in the cache."""
    digest, api_keys = digest_api_key(await add_key(counting)), ApiKeys(counting, DatabaseClock())
    await api_keys.find(digest)
    for batch in range(MAX_REMEMBERED // 500 + 1):
        await asyncio.gather(*(api_keys.find(digest_api_key(f"{batch}-{number}")) for number in range(500)))
    counting.statements.clear()
    assert await api_keys.find(digest)
    assert count_look_ups(counting) == 0
