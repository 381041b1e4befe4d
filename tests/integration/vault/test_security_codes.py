"""Security codes live minutes, and die with their use, their time or their key."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from tests.support.shop import CVV, KEYS, Shop

from tollhouse.kernel.card import Cvv
from tollhouse.storage.database import Database
from tollhouse.vault.security_codes import (
    CODE_LIFE,
    KEY_LIFE,
    KEY_USE,
    REMEMBERED_KEYS,
    SealedCode,
    SecurityCodes,
    delete_security_codes,
    insert_security_codes,
    select_security_code,
    sweep_vault,
)
from tollhouse.vault.tokens import select_token

HOLDER = UUID(int=5)


@pytest.fixture
def security_codes(database: Database) -> SecurityCodes:
    """The security codes of one process."""
    return SecurityCodes(KEYS, database)


async def seal(
    codes: SecurityCodes, database: Database, *, age: timedelta = timedelta(), life: timedelta = CODE_LIFE
) -> SealedCode:
    """Seal a code for the holder, some time ago."""
    async with database.acquire() as connection:
        now = await connection.fetchval("select now()") - age
    return await codes.seal(Cvv(CVV), holder_id=HOLDER, now=now, expires_at=now + life)


async def open_now(
    codes: SecurityCodes, database: Database, code: SealedCode, after: timedelta = timedelta()
) -> str | None:
    """Open a code now, or after a while, and return it in the clear."""
    async with database.acquire() as connection:
        now = await connection.fetchval("select now()") + after
    opened = await codes.open(code, now=now)
    return opened.reveal() if opened else None


async def test_a_code_is_opened_by_any_process(database: Database, security_codes: SecurityCodes) -> None:
    """A code opens in the process that sealed it and in another one."""
    code = await seal(security_codes, database)
    assert await open_now(security_codes, database, code) == CVV
    assert await open_now(SecurityCodes(KEYS, database), database, code) == CVV
    assert CVV.encode() not in code.sealed


async def test_a_code_belongs_to_its_holder(database: Database, security_codes: SecurityCodes) -> None:
    """A code that was moved to another holder does not open."""
    code = await seal(security_codes, database)
    moved = SealedCode(uuid4(), code.short_key_id, code.sealed, code.expires_at)
    assert await open_now(security_codes, database, moved) is None


async def test_a_code_dies_with_its_time(database: Database, security_codes: SecurityCodes) -> None:
    """After its quarter of an hour a code does not open, although it and its key are still there."""
    code = await seal(security_codes, database)
    assert await open_now(security_codes, database, code, CODE_LIFE - timedelta(seconds=2)) == CVV
    assert await open_now(security_codes, database, code, CODE_LIFE) is None


async def test_a_code_dies_with_its_key(database: Database, security_codes: SecurityCodes) -> None:
    """When its key is deleted a code is gone for everybody who had not opened the key."""
    code = await seal(security_codes, database)
    async with database.acquire() as connection:
        await connection.execute("delete from short_key")
    assert await open_now(SecurityCodes(KEYS, database), database, code) is None


async def test_a_key_that_ran_out_opens_nothing(database: Database, security_codes: SecurityCodes) -> None:
    """A key past its time opens nothing, swept or not, at hand or not."""
    code = await seal(security_codes, database, life=2 * KEY_LIFE)
    assert await open_now(security_codes, database, code, KEY_LIFE) is None
    async with database.acquire() as connection:
        await connection.execute("update short_key set expires_at = now()")
    assert await open_now(SecurityCodes(KEYS, database), database, code) is None


async def test_keys_change_every_few_minutes(database: Database, security_codes: SecurityCodes) -> None:
    """A key seals for five minutes, then there is another one, and both open."""
    old = await seal(security_codes, database, age=KEY_USE)
    new = await seal(security_codes, database)
    again = await seal(security_codes, database)
    assert old.short_key_id != new.short_key_id == again.short_key_id
    assert await open_now(security_codes, database, old) == CVV
    assert await open_now(security_codes, database, new) == CVV


async def test_a_process_that_met_many_keys_still_seals(database: Database, security_codes: SecurityCodes) -> None:
    """However many other processes' keys were opened, the own one is at hand, and memory is bounded."""
    await seal(security_codes, database)
    for _ in range(REMEMBERED_KEYS + 5):
        foreign = await seal(SecurityCodes(KEYS, database), database)
        assert await open_now(security_codes, database, foreign) == CVV
    own = await seal(security_codes, database)
    assert await open_now(security_codes, database, own) == CVV


async def test_a_key_has_a_life_longer_than_its_codes(database: Database, security_codes: SecurityCodes) -> None:
    """A code sealed at the last moment, and once more for a challenge, finds its key."""
    assert KEY_LIFE > KEY_USE + 2 * CODE_LIFE
    await seal(security_codes, database)
    async with database.acquire() as connection:
        life = await connection.fetchval("select expires_at - now() from short_key")
    assert KEY_LIFE - timedelta(seconds=5) < life <= KEY_LIFE


async def test_codes_are_stored_once(database: Database, security_codes: SecurityCodes) -> None:
    """A repeated batch finds its own codes; a deleted one is gone."""
    code = await seal(security_codes, database)
    async with database.transaction() as connection:
        await insert_security_codes(connection, [code])
        await insert_security_codes(connection, [code])
        assert await select_security_code(connection, HOLDER) == code
        await delete_security_codes(connection, [HOLDER])
        assert await select_security_code(connection, HOLDER) is None


async def test_the_sweep_takes_what_ran_out_and_nothing_else(shop: Shop) -> None:
    """The sweep erases codes, keys, cards and requests that ran out; what is good stays, and tells of late uses."""
    good, late, old = [await shop.tokenize(request=(f"t{n}", b"digest")) for n in range(3)]
    for table in ("token", "token_request", "security_code"):
        name = "holder_id" if table == "security_code" else "token_id"
        await shop.value(f"update {table} set expires_at = now() where {name} = $1", late)  # noqa: S608 - names of ours
        await shop.value(
            f"update {table} set expires_at = now() - interval '25 hours' where {name} = $1",  # noqa: S608
            old,
        )
    async with shop.tools.database.transaction() as connection:
        await sweep_vault(connection)
        left = [await select_token(connection, token, merchant_id=1) for token in (good, late, old)]
    assert left[0] is not None
    assert left[0].card is not None
    assert left[0].code is not None
    assert left[1] is not None
    assert (left[1].card, left[1].code) == (None, None)
    assert left[2] is None
    assert await shop.value("select count(*) from token_request") == 1
    assert await shop.value("select count(*) from short_key") == 1
    assert (await shop.pay(token=good)).outcome == ("success", "0")
    await shop.value("update short_key set expires_at = now()")
    async with shop.tools.database.transaction() as connection:
        await sweep_vault(connection)
    assert await shop.value("select count(*) from short_key") == 0


async def test_a_payment_goes_on_without_its_code(shop: Shop) -> None:
    """When a token's code is gone the payment goes without, as issuers allow."""
    token = await shop.tokenize()
    await shop.value("delete from security_code")
    assert (await shop.pay(token=token)).outcome == ("success", "0")
    assert shop.acquirer.asked[0].cvv is None
