"""An attack: a thief has every dump, the whole WAL and the key file, and wants security codes."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.support.cardholders import Answer, ServedGateway, open_served_gateway, payment_request
from tests.support.issuing import number_of

import tollhouse
from tollhouse.kernel.errors import SealBroken
from tollhouse.storage.database import Database
from tollhouse.storage.sweep import Sweeper
from tollhouse.vault.keys import FileKeyProvider
from tollhouse.vault.ring import open_security_code_keys
from tollhouse.vault.security_codes import SWEEPS

CODE = "9376"
#: American Express: a code of four digits is told from other numbers more easily.
NUMBER = "378282246310005"
SCHEMAS = ("gateway", "simulator")
SOURCE = "\n".join(path.read_text() for path in Path(tollhouse.__file__).parent.rglob("*.py"))


@dataclass
class Thief:
    """Collects what is ever in the database, and then tries every key that can be made of it."""

    served: ServedGateway
    seen: set[bytes] = field(default_factory=set)
    codes: dict[tuple[UUID, bytes], None] = field(default_factory=dict)

    async def dump(self) -> None:
        """Copy every value of every table."""
        for schema in SCHEMAS:
            names = await self.served.fetch("select tablename from pg_tables where schemaname = $1", schema)
            for [name] in names:
                for row in await self.served.fetch(f'select * from {schema}."{name}"'):  # noqa: S608 - the catalog's names
                    self.seen.update(itertools.chain.from_iterable(map(encode, row.values())))
        for row in await self.served.fetch("select holder_id, sealed from security_code"):
            self.codes[row["holder_id"], row["sealed"]] = None

    def find_keys(self) -> set[bytes]:
        """Return every key that the key file gives, with what the database has."""
        keys = self.served.gateway.vault.keys
        assert isinstance(keys, FileKeyProvider)
        purposes = set(re.findall(r'derive\(\s*"([^"]+)"', SOURCE)) | {"token", "digest", "identity", "fingerprint"}
        derived = {keys.derive(purpose) for purpose in purposes} | {keys.root, *keys.versions.values()}
        wrapped = {value for value in self.seen if len(value) in {60, 61}}
        opened = {key for value in wrapped for key in unwrap(keys, value)}
        short = {value for value in self.seen if len(value) in {16, 32}}
        parts = (b"code|", b"card|", b"")
        hashed = {
            hmac.digest(key, part + value, hashlib.sha256) for key in derived for value in short for part in parts
        }
        return derived | opened | hashed | {value for value in self.seen if len(value) == 32}

    def open_codes(self, keys: set[bytes]) -> list[bytes]:
        """Return what the keys open of the codes that were ever in the database."""
        return [clear for holder, sealed in self.codes for key in keys for clear in try_to_open(key, holder, sealed)]


def unwrap(keys: FileKeyProvider, value: bytes) -> Iterator[bytes]:
    """Try the key file on what may be a wrapped key."""
    for version in keys.versions:
        for bound_to in (b"short key", b""):
            try:
                yield keys.unwrap(value[-60:], version=version, bound_to=bound_to)
            except SealBroken:
                continue


def encode(value: Any) -> Iterator[bytes]:
    """Yield the forms of a value that could be a key."""
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, UUID):
        yield value.bytes
    elif isinstance(value, str):
        yield from (UUID(text).bytes for text in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", value))


def try_to_open(key: bytes, holder: UUID, sealed: bytes) -> Iterator[bytes]:
    """Try one key on one code, in the forms that a code has or had."""
    minute = int.from_bytes(sealed[:8], "big")
    for content, bound_to in (
        (sealed, holder.bytes),
        (sealed, b"token code"),
        (sealed[8:], f"challenge|{holder}|{minute}".encode()),
    ):
        try:
            yield AESGCM(key).decrypt(content[:12], content[12:], bound_to)
        except (InvalidTag, ValueError):
            continue


@pytest.fixture
async def thief(database: Database, simulator_database: Database) -> AsyncIterator[Thief]:
    """A thief beside a gateway and its simulator."""
    async with open_served_gateway(database, simulator_database) as served:
        yield Thief(served)


async def tokenize(thief: Thief, number: str = NUMBER, code: str = CODE) -> str:
    """Make a token with the code, under a request id, as a shop's server may."""
    body = {"number": number, "expirationMonth": "12", "expirationYear": "30", "cvv": code}
    answer = await thief.served.call("/tokenize", body, **{"x-requested-with": "XMLHttpRequest", "X-Request-ID": "t-1"})
    await thief.dump()
    token: str = answer.json["token"]
    return token


async def pay(thief: Thief, card: str = "visa", *, token: str | None = None, **source: Any) -> Answer:
    """Pay with the code."""
    body = payment_request(card, three_ds=False, browser=True)
    body["paymentSource"] |= {"cvv": CODE[:3]} | source
    if token:
        body["paymentSource"] = {"type": "token", "token": token} | source
    answer = await thief.served.call("/payment", body, **{"X-Request-ID": "p-1"})
    await thief.dump()
    return answer


async def approve(thief: Thief) -> None:
    """Pay with a token, approved."""
    answer = await pay(thief, token=await tokenize(thief), emulateCode="0000")
    assert answer.json["payment"]["status"] == "success"


async def decline(thief: Thief) -> None:
    """Pay with a token, declined."""
    answer = await pay(thief, token=await tokenize(thief), emulateCode="5005")
    assert answer.json["payment"]["status"] == "fail"


async def leave_unused(thief: Thief) -> None:
    """Let a token run out."""
    await tokenize(thief)
    await thief.served.fetch("update token set expires_at = now()")
    await thief.served.fetch("update security_code set expires_at = now()")
    await Sweeper(thief.served.parts.database, SWEEPS).step()
    assert await thief.served.fetch("select from security_code") == []


async def crash(thief: Thief) -> None:
    """Die between the token and its payment: the rows stay."""
    await tokenize(thief)


async def leave_challenge(thief: Thief) -> None:
    """Begin a challenge that nobody ends; of a card in the request itself."""
    answer = await pay(thief, "challenge", threeDS=True)
    assert answer.json["payment"]["action"] == "redirect"
    assert thief.codes


async def pass_challenge(thief: Thief) -> None:
    """Pass a challenge."""
    answer = await pay(thief, "challenge", threeDS=True)
    await thief.served.come_back(await thief.served.challenge(answer))
    await thief.served.settled(answer)


async def hear_nothing(thief: Thief) -> None:
    """Get no answer from the acquirer."""
    answer = await pay(thief, token=await tokenize(thief, number_of("lost_answer"), CODE[:3]))
    assert answer.json["payment"]["status"] == "pending"


LIVES = (approve, decline, leave_unused, crash, hear_nothing, leave_challenge, pass_challenge)


@pytest.mark.parametrize("life", LIVES)
async def test_dumps_and_keys_open_no_code(thief: Thief, life: Any) -> None:
    """After any payment, all dumps of the database and the key file cannot open its security code."""
    await life(thief)
    await thief.dump()
    assert thief.codes
    assert thief.open_codes(thief.find_keys()) == []


async def test_the_token_opens_its_code(thief: Thief) -> None:
    """The attack would succeed with the token in hand: what keeps a thief out is that the database never has it."""
    token = UUID(await tokenize(thief))
    thief.seen.add(token.bytes)
    assert thief.open_codes(thief.find_keys()) == [CODE.encode()]


async def test_the_log_of_the_database_has_no_key(thief: Thief, session_directory: Path) -> None:
    """Neither a token nor a key of a challenge is in the WAL or in any file of the server; sealed codes are."""
    token = UUID(await tokenize(thief))
    await leave_challenge(thief)
    await thief.served.fetch("select pg_switch_wal()")
    await thief.served.fetch("checkpoint")
    vault = thief.served.gateway.vault
    ring = open_security_code_keys(None, name=vault.keys.derive("ring name").hex()[:32])
    minutes = [int.from_bytes(sealed[:8], "big") for _, sealed in thief.codes]
    ring_keys = [key for minute in minutes if minute < 2**40 and (key := ring.find(minute))]
    written = b"".join(read_files(session_directory / "server"))
    assert ring_keys
    assert all(sealed in written for _, sealed in thief.codes)
    for secret in (token.bytes, str(token).encode(), token.hex.encode(), *ring_keys):
        assert secret not in written


def read_files(directory: Path) -> Iterator[bytes]:
    """Yield the files of a running server, its WAL among them. It may remove one meanwhile."""
    for path in directory.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                yield path.read_bytes()


async def test_no_digest_covers_a_code(thief: Thief) -> None:
    """Two requests that differ in a code alone are one, wherever in the body it stands: no digest tells them apart."""
    for place in ("paymentSource", "consumer", "sku", ""):
        body, answers = payment_request("visa", three_ds=False, browser=True), set()
        for code in ("123", "124"):
            (body[place] if place else body)["cvv"] = code
            answer = await thief.served.call("/payment", body, **{"X-Request-ID": f"d-{place}"})
            answers.add((answer.status, answer.text))
        assert [status for status, _ in answers] == [201]
