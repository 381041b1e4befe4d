"""API authentication: from a key and an address to a merchant, or a rejection."""

from __future__ import annotations

import pytest
from tests.support.shop import furnish

from tollhouse.kernel.clock import DatabaseClock
from tollhouse.kernel.errors import Forbidden, NotAuthenticated, NotFound
from tollhouse.merchants.access import MerchantAuthenticator
from tollhouse.merchants.model import new_api_key
from tollhouse.merchants.secrets import IpnSecrets
from tollhouse.merchants.store import insert_api_key
from tollhouse.storage.database import Database

HOME = "203.0.113.7"


@pytest.fixture
async def key(database: Database) -> str:
    """The key of the first merchant."""
    await furnish(database)
    key = new_api_key("stage")
    async with database.acquire() as connection:
        await insert_api_key(connection, merchant_id=1, key=key)
    return key


@pytest.fixture
def merchant_authenticator(database: Database) -> MerchantAuthenticator:
    """A merchant_authenticator who has seen nobody yet."""
    return MerchantAuthenticator(database, DatabaseClock(), environment="stage")


async def run(database: Database, statement: str) -> None:
    """Change something behind the gateway's back."""
    async with database.acquire() as connection:
        await connection.execute(statement)


async def test_a_key_finds_its_merchant(merchant_authenticator: MerchantAuthenticator, key: str) -> None:
    """A key is the merchant's, from any address where it has no list."""
    merchant = await merchant_authenticator.authenticate_merchant(key, address=HOME)
    assert (merchant.merchant_id, merchant.name) == (1, "A")


@pytest.mark.parametrize("wrong", [None, "", "x", "th_stage_" + "0" * 40, "x" * 10_000, "ключ"])
async def test_wrong_keys(merchant_authenticator: MerchantAuthenticator, key: str, wrong: str | None) -> None:
    """A missing and a wrong key are not let in, whatever they look like, and are not echoed."""
    assert key
    with pytest.raises(NotAuthenticated) as refused:
        await merchant_authenticator.authenticate_merchant(wrong, address=HOME)
    assert not wrong or wrong == "x" or wrong not in str(refused.value)


@pytest.mark.parametrize("change", [str.upper, lambda key: key[:-1], lambda key: key + " ", lambda key: key + "0"])
async def test_nearly_right_keys(merchant_authenticator: MerchantAuthenticator, key: str, change: object) -> None:
    """A key that is nearly right is wrong."""
    assert callable(change)
    with pytest.raises(NotAuthenticated):
        await merchant_authenticator.authenticate_merchant(change(key), address=HOME)


async def test_a_key_of_the_other_environment(merchant_authenticator: MerchantAuthenticator) -> None:
    """A key for live is told to be one, before anybody looks for it elsewhere."""
    with pytest.raises(NotAuthenticated, match="API key is for live"):
        await merchant_authenticator.authenticate_merchant(new_api_key("live"), address=HOME)


async def test_expired_keys(database: Database, merchant_authenticator: MerchantAuthenticator, key: str) -> None:
    """A key with an end is good until then, by the database's time."""
    await run(database, "update api_key set expires_at = now() + interval '1 hour'")
    await merchant_authenticator.authenticate_merchant(key, address=HOME)
    await run(database, "update api_key set expires_at = now() - interval '1 second'")
    fresh = MerchantAuthenticator(database, DatabaseClock(), environment="stage")
    with pytest.raises(NotAuthenticated, match="expired"):
        await fresh.authenticate_merchant(key, address=HOME)


async def test_a_key_that_runs_out_while_it_is_remembered(database: Database, key: str) -> None:
    """A remembered key is held against the time at each call."""
    clock = DatabaseClock()
    merchant_authenticator = MerchantAuthenticator(database, clock, environment="stage")
    await run(database, "update api_key set expires_at = now() + interval '1 hour'")
    merchant = await merchant_authenticator.authenticate_merchant(key, address=HOME)
    assert merchant.key_expires_at is not None
    clock.observe(merchant.key_expires_at)
    with pytest.raises(NotAuthenticated, match="expired"):
        await merchant_authenticator.authenticate_merchant(key, address=HOME)


async def test_disabled_merchants(database: Database, merchant_authenticator: MerchantAuthenticator, key: str) -> None:
    """The key of a disabled merchant is known and forbidden."""
    await run(database, "update merchant set state = 'disabled'")
    with pytest.raises(Forbidden, match="disabled"):
        await merchant_authenticator.authenticate_merchant(key, address=HOME)


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        ("203.0.113.0/24", "203.0.113.7", True),
        ("203.0.113.0/24", "203.0.114.7", False),
        ("203.0.113.7/32,2001:db8::/32", "2001:db8::1", True),
        ("203.0.113.7/32", "2001:db8::1", False),
        ("203.0.113.7/32", "::ffff:203.0.113.7", True),
        ("::ffff:203.0.113.0/120", "203.0.113.7", True),
        ("::ffff:203.0.113.0/120", "203.0.114.7", False),
        ("203.0.113.7/32", "", False),
        ("203.0.113.7/32", "nonsense", False),
    ],
)
async def test_address_lists(
    database: Database,
    merchant_authenticator: MerchantAuthenticator,
    key: str,
    networks: str,
    address: str,
    *,
    allowed: bool,
) -> None:
    """A key with a list is good from the addresses on it only."""
    await run(database, f"update api_key set allowed_networks = '{{{networks}}}'")  # noqa: S608 - made up above
    if allowed:
        await merchant_authenticator.authenticate_merchant(key, address=address)
    else:
        with pytest.raises(Forbidden, match="address"):
            await merchant_authenticator.authenticate_merchant(key, address=address)


async def test_two_keys_overlap(database: Database, merchant_authenticator: MerchantAuthenticator, key: str) -> None:
    """During a rotation the old key and the new one are good; a key is stored as a hash and its last characters."""
    new = new_api_key("stage")
    async with database.acquire() as connection:
        await insert_api_key(connection, merchant_id=1, key=new)
        rows = await connection.fetch("select digest, hint from api_key")
    for each in (key, new):
        assert (await merchant_authenticator.authenticate_merchant(each, address=HOME)).merchant_id == 1
    assert {row["hint"] for row in rows} == {key[-4:], new[-4:]}
    assert not any(each.encode() in row["digest"] for row in rows for each in (key, new))


async def test_ipn_secrets_are_opened_for_their_merchant(database: Database, key: str) -> None:
    """A secret is opened as its merchant's, once in a while, and a merchant that is not there has none."""
    assert key
    opened: list[int] = []

    def unseal(merchant_id: int, sealed: bytes) -> str:
        opened.append(merchant_id)
        return f"secret of {merchant_id} {sealed!r}"

    secrets = IpnSecrets(database, unseal)
    assert await secrets.of(1) == ["secret of 1 b''"]
    assert await secrets.of(2) == ["secret of 2 b''"]
    assert await secrets.of(1) == ["secret of 1 b''"]
    assert opened == [1, 2]
    with pytest.raises(NotFound):
        await secrets.of(3)
