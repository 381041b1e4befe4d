"""Security codes of challenges live minutes, and die with their use, their time or their key."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from tests.support.shop import CVV, Shop

from tollhouse.kernel.card import Cvv
from tollhouse.storage.database import Database
from tollhouse.storage.sweep import Sweeper
from tollhouse.vault.ring import (
    KEY_LIFE_MINUTES,
    InMemoryKeys,
    KeyDirectoryUnsafe,
    SecurityCodeKeys,
    SharedKeys,
    find_file_system,
    open_security_code_keys,
)
from tollhouse.vault.seal import derive_token_id
from tollhouse.vault.security_codes import (
    CODE_LIFE,
    SWEEPS,
    SealedCode,
    SecurityCodes,
    insert_security_codes,
    select_security_code,
)
from tollhouse.vault.tokens import select_token

HOLDER = UUID(int=5)
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["memory", "files"])
def ring(request: pytest.FixtureRequest, tmp_path: Path) -> SecurityCodeKeys:
    """A ring of either kind."""
    return InMemoryKeys() if request.param == "memory" else SharedKeys(tmp_path)


def seal(ring: SecurityCodeKeys, *, now: datetime = NOW, life: timedelta = CODE_LIFE) -> SealedCode:
    """Seal a code for the holder."""
    code = SecurityCodes(ring).seal(Cvv(CVV), holder_id=HOLDER, now=now, expires_at=now + life)
    assert code is not None
    return code


def unseal(ring: SecurityCodeKeys, code: SealedCode, *, now: datetime = NOW) -> str | None:
    """Open a code and return it in the clear."""
    opened = SecurityCodes(ring).open(code, now=now)
    return opened.reveal() if opened else None


def test_a_code_is_opened_by_any_process_of_the_machine(tmp_path: Path) -> None:
    """A code opens in the process that sealed it and in another one of the same machine."""
    code = seal(SharedKeys(tmp_path))
    assert unseal(SharedKeys(tmp_path), code) == CVV
    assert CVV.encode() not in code.sealed


def test_another_machine_opens_no_code(ring: SecurityCodeKeys) -> None:
    """A result that arrives at another machine, with another key for that minute, has no code."""
    code, other = seal(ring), InMemoryKeys()
    assert unseal(other, code) is None
    seal(other)
    assert unseal(other, code) is None


def test_a_code_belongs_to_its_holder(ring: SecurityCodeKeys) -> None:
    """A code that was moved to another holder does not open."""
    code = seal(ring)
    assert unseal(ring, SealedCode(uuid4(), code.sealed, code.expires_at)) is None


def test_a_code_dies_with_its_time(ring: SecurityCodeKeys) -> None:
    """A code does not open after its time, although it and its key are still there."""
    code = seal(ring, life=2 * MINUTE)
    assert unseal(ring, code, now=NOW + 1.9 * MINUTE) == CVV
    assert unseal(ring, code, now=NOW + 2 * MINUTE) is None


def test_a_code_dies_with_its_key(ring: SecurityCodeKeys) -> None:
    """Fifteen minutes after its minute began a key opens nothing, swept or not."""
    code = seal(ring, life=2 * CODE_LIFE)
    last = NOW + KEY_LIFE_MINUTES * MINUTE
    assert unseal(ring, code, now=last - timedelta(seconds=1)) == CVV
    assert unseal(ring, code, now=last) is None


def test_a_changed_code_is_none(ring: SecurityCodeKeys) -> None:
    """A shortened or changed sealed code does not open."""
    code = seal(ring)
    for sealed in (b"", code.sealed[:8], code.sealed[:20], code.sealed[:-1] + bytes([code.sealed[-1] ^ 1])):
        assert unseal(ring, SealedCode(HOLDER, sealed, code.expires_at)) is None


def test_there_is_a_key_a_minute(tmp_path: Path) -> None:
    """Each minute has a key of its own, and after a quarter of an hour its file is gone."""
    ring = SharedKeys(tmp_path)
    codes = SecurityCodes(ring)
    for minutes in range(20):
        seal(ring, now=NOW + minutes * MINUTE)
    assert len(list(tmp_path.iterdir())) == KEY_LIFE_MINUTES
    codes.forget_keys(NOW + 25 * MINUTE)
    assert len(list(tmp_path.iterdir())) == 9
    codes.forget_keys(NOW + 60 * MINUTE)
    assert list(tmp_path.iterdir()) == []


def test_only_the_owner_reads_a_key(tmp_path: Path) -> None:
    """The file of a key has mode 0600, and stays as it was drawn first."""
    ring = SharedKeys(tmp_path)
    first, again = ring.get_or_create(1), SharedKeys(tmp_path).get_or_create(1)
    assert first == again
    [file] = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_full_memory_stops_no_payment(tmp_path: Path) -> None:
    """If no key can be stored no code is sealed, nothing is raised, and the payment continues without the code."""
    codes = SecurityCodes(SharedKeys(tmp_path / "gone" / "ring"))
    assert codes.seal(Cvv(CVV), holder_id=HOLDER, now=NOW, expires_at=NOW + CODE_LIFE) is None


def test_a_ring_is_in_memory_and_private(tmp_path: Path) -> None:
    """By default a ring is in shared memory; a directory on a disk, or one that others can read, is refused."""
    on_disk = find_file_system(tmp_path) not in {"tmpfs", "ramfs"}
    if on_disk:
        with pytest.raises(KeyDirectoryUnsafe, match="not in memory"):
            open_security_code_keys(tmp_path, name="ring")
    if find_file_system(Path("/dev")) is None or not os.access("/dev/shm", os.W_OK):  # noqa: S108 - asked, not used
        assert isinstance(open_security_code_keys(None, name="ring"), InMemoryKeys)
        return
    name = uuid4().hex
    ring = open_security_code_keys(None, name=name)
    assert isinstance(ring, SharedKeys)
    directory = Path(f"/dev/shm/tollhouse-{os.geteuid()}/{name}")  # noqa: S108 - what the ring makes
    assert not directory.exists()
    seal(ring, now=datetime.now(UTC))
    assert directory.stat().st_mode & 0o777 == 0o700
    directory.chmod(0o755)
    with pytest.raises(KeyDirectoryUnsafe, match="only this user can read"):
        ring.get_or_create(int(time.time()) // 60 + 1)
    shutil.rmtree(directory)


def test_keys_of_ended_deployments_are_swept(tmp_path: Path) -> None:
    """Any process of the same user erases old keys of ended deployments, and their empty directories."""
    left, running = tmp_path / "left", tmp_path / "running"
    for directory in (left, running, tmp_path / "empty"):
        directory.mkdir(mode=0o700)
    minute = int(time.time()) // 60
    old, fresh = SharedKeys(left), SharedKeys(running)
    old.get_or_create(minute)
    fresh.get_or_create(minute)
    hour_ago = time.time() - 3_600
    os.utime(left / f"{minute}.key", (hour_ago, hour_ago))
    SharedKeys(tmp_path / "own", home=tmp_path).sweep(minute)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["running"]
    assert fresh.find(minute) is not None


async def test_codes_are_stored_once(database: Database) -> None:
    """A repeated batch finds its own codes; a deleted one is gone."""
    code = seal(InMemoryKeys())
    async with database.transaction() as connection:
        await insert_security_codes(connection, [code])
        await insert_security_codes(connection, [code])
        assert await select_security_code(connection, HOLDER) == code
        await connection.execute("select replace_security_codes_v1('{}', $1)", [HOLDER])
        assert await select_security_code(connection, HOLDER) is None


async def test_the_sweep_takes_what_ran_out_and_nothing_else(shop: Shop) -> None:
    """The sweep erases codes and cards that ran out; what is good stays, and tells of late uses."""
    good, late, old = [await shop.tokenize() for _ in range(3)]
    for token, age in ((late, "0"), (old, "25 hours")):
        for table, name in (("token", "token_id"), ("security_code", "holder_id")):
            await shop.value(
                f"update {table} set expires_at = now() - interval '{age}' where {name} = $1",  # noqa: S608 - our names
                derive_token_id(token),
            )
    await Sweeper(shop.parts.database, SWEEPS).step()
    async with shop.parts.database.transaction() as connection:
        left = [await select_token(connection, token, merchant_id=1) for token in (good, late, old)]
    assert left[0] is not None
    assert left[0].sealed_card is not None
    assert left[0].code is not None
    assert left[1] is not None
    assert (left[1].sealed_card, left[1].code) == (None, None)
    assert left[2] is None
    assert (await shop.pay(token=good)).outcome == ("success", "0")


async def test_a_payment_goes_on_without_its_code(shop: Shop) -> None:
    """When a token's code is gone the payment goes without, as issuers allow."""
    token = await shop.tokenize()
    await shop.value("delete from security_code")
    assert (await shop.pay(token=token)).outcome == ("success", "0")
    assert shop.acquirer.asked[0].cvv is None
