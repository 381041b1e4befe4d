"""Test payment data that merchants create, change and read, and their use as cards by the issuer.

Messages in, responses out, as everywhere in the simulator. The response about missing data is `null`. Numbers have the
right brand and a valid check digit, and come from ranges without real cards.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from asyncpg import Record
from msgspec import Meta

from tollhouse.kernel.addresses import parse_address
from tollhouse.kernel.card import CardNumber, is_luhn_valid
from tollhouse.simulator.cards import find_card
from tollhouse.simulator.messages import SimulatorMessage, decode, encode
from tollhouse.simulator.model import PublishedCard
from tollhouse.simulator.store import queries
from tollhouse.storage.database import Database, PlainConnection

#: Draws of a number that may already exist; the ranges have at least ten million numbers.
MAX_DRAWS = 10

#: Numbers that may have the same masked form.
MAX_ALIKE = 1_000

BLOCKED = "62"
EXPIRED = "54"
ADDRESS_NOT_ALLOWED = "63"

Type = Literal["maestro", "mastercard", "sepa", "visa", "discover", "unionpay", "jcb", "diners", "amex"]
Minor = Annotated[int, Meta(ge=0, le=999_999_999_999)]
Addresses = Annotated[list[str], Meta(max_length=50)]
#: First digits and length, of numbers that processors document for tests and of our published cards.
RANGES = {
    "visa": ("400000", 16),
    "mastercard": ("520000", 16),
    "maestro": ("675964", 16),
    "amex": ("378282", 15),
    "discover": ("601111", 16),
    "diners": ("305693", 14),
    "jcb": ("353011", 16),
    "unionpay": ("620000", 16),
}

#: A bank code that no German bank has: real ones begin with 1 to 8 (Bundesbank, directory of bank codes).
GERMAN_BANK_CODE = "99999999"


class _Create(SimulatorMessage):
    merchant_id: int
    type: Type
    balance_minor: Minor
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    allowed_ips: Addresses = msgspec.field(default_factory=list)
    emulate3ds: bool = False
    expired: bool = False
    comment: Annotated[str, Meta(max_length=255)] | None = None
    request_key: Annotated[str, Meta(max_length=128)] | None = None
    request_digest: Annotated[str, Meta(max_length=128)] | None = None
    #: The merchant's time. None: real time.
    at: datetime | None = None


class _TestDataQuery(SimulatorMessage):
    merchant_id: int
    type: Type | None = None
    limit: Annotated[int, Meta(ge=0, le=100)] = 100
    offset: Annotated[int, Meta(ge=0, le=2**31)] = 0


class _Name(SimulatorMessage):
    merchant_id: int
    id: int


class _Change(_Name):
    balance_minor: Minor | None = None
    allowed_ips: Addresses | None = None
    emulate3ds: bool | None = None
    blocked: bool | None = None
    #: The merchant's time. None: real time.
    at: datetime | None = None


_create = msgspec.json.Decoder(_Create)
_list = msgspec.json.Decoder(_TestDataQuery)
_name = msgspec.json.Decoder(_Name)
_change = msgspec.json.Decoder(_Change)


class TestDataService:
    """The handler of the gateway's requests for merchants' test data. Raises Invalid for a faulty body."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, body: bytes) -> bytes:
        """Create test data. A repeated request returns the data that it created; with another digest, `isReused`."""
        wanted: _Create = decode(_create, body)
        async with self._database.transaction() as connection:
            made = await _find_made(connection, wanted) or await _insert(connection, wanted)
            if made is None:
                return encode({"data": None, "isReused": True})
            return encode({"data": await _show(connection, wanted.merchant_id, made, is_deleted_too=True)})

    async def list(self, body: bytes) -> bytes:
        """List a merchant's data, newest first."""
        wanted: _TestDataQuery = decode(_list, body)
        async with self._database.acquire() as connection:
            rows = queries.select_test_data_list(
                connection,
                merchant_id=wanted.merchant_id,
                type=wanted.type,
                row_limit=wanted.limit,
                row_offset=wanted.offset,
            )
            data = [_describe(row) async for row in rows]
            total = await queries.count_test_data(connection, merchant_id=wanted.merchant_id, type=wanted.type)
        return encode({"data": data, "total": total})

    async def read(self, body: bytes) -> bytes:
        """Return one record."""
        wanted: _Name = decode(_name, body)
        async with self._database.acquire() as connection:
            return encode({"data": await _show(connection, wanted.merchant_id, wanted.id)})

    async def change(self, body: bytes) -> bytes:
        """Change balance, addresses, 3-D Secure or block, and return the changed record."""
        wanted: _Change = decode(_change, body)
        async with self._database.transaction() as connection:
            changed = await queries.update_test_data(
                connection,
                merchant_id=wanted.merchant_id,
                test_data_id=wanted.id,
                allowed_ips=wanted.allowed_ips,
                emulates_3ds=wanted.emulate3ds,
                is_blocked=wanted.blocked,
                at=wanted.at,
            )
            if changed is not None and wanted.balance_minor is not None:
                await queries.update_balance(
                    connection, card_name=name_card(wanted.id), amount_minor=wanted.balance_minor
                )
            return encode({"data": await _show(connection, wanted.merchant_id, wanted.id)})

    async def delete(self, body: bytes) -> bytes:
        """Delete one record, and return whether it existed."""
        wanted: _Name = decode(_name, body)
        async with self._database.acquire() as connection:
            deleted = await queries.update_test_data_deleted(
                connection, merchant_id=wanted.merchant_id, test_data_id=wanted.id
            )
        return encode({"isDeleted": deleted is not None})


async def find_test_card(
    connection: PlainConnection, number: CardNumber, *, address: str | None = None, by_customer: bool = True
) -> PublishedCard | None:
    """Return a merchant's test card with the issuer's rules, or None. `address` is the consumer's."""
    rows = queries.select_test_cards(connection, masked_number=number.masked, row_limit=MAX_ALIKE)
    row = next(iter([row async for row in rows if CardNumber(row["number"]) == number]), None)
    if row is None:
        return None
    return PublishedCard(
        name=name_card(row["test_data_id"]),
        number=row["number"],
        brand=row["type"],
        group="test data",
        does="",
        response_code=_respond(row, address, by_customer=by_customer),
        authentication="C" if row["emulates_3ds"] else None,
        # Its balance row exists already, so this is never stored.
        balance_minor=0,
        balance_currency=row["currency"],
    )


def name_card(test_data_id: int) -> str:
    """Return the name of a test card in journal and balances."""
    return f"test-{test_data_id}"


def is_allowed(address: str | None, allowed: Sequence[str]) -> bool:
    """Return whether an address is on a list. An empty list permits all."""
    if not allowed:
        return True
    try:
        return address is not None and parse_address(address) in map(parse_address, allowed)
    except ValueError:
        return False


def _respond(row: Record, address: str | None, *, by_customer: bool) -> str:
    """Return the card's own response. A merchant-initiated charge has no address."""
    if row["is_blocked"]:
        return BLOCKED
    if row["is_expired"]:
        return EXPIRED
    if (by_customer or address is not None) and not is_allowed(address, row["allowed_ips"]):
        return ADDRESS_NOT_ALLOWED
    return "00"


async def _find_made(connection: PlainConnection, wanted: _Create) -> int | None:
    """Return the data that this request created before."""
    if wanted.request_key is None:
        return None
    row = await queries.select_test_data_by_request(
        connection, merchant_id=wanted.merchant_id, request_key=wanted.request_key
    )
    made: int | None = row["test_data_id"] if row and row["request_digest"] == wanted.request_digest else None
    return made


async def _insert(connection: PlainConnection, wanted: _Create) -> int | None:
    """Store data with an unused number. Return None if another request has used its key."""
    for _ in range(MAX_DRAWS):
        made: int | None = await queries.insert_test_data(
            connection,
            merchant_id=wanted.merchant_id,
            type=wanted.type,
            number=draw_number(wanted.type),
            currency=wanted.currency,
            allowed_ips=wanted.allowed_ips,
            emulates_3ds=wanted.emulate3ds,
            is_expired=wanted.expired,
            comment=wanted.comment,
            request_key=wanted.request_key,
            request_digest=wanted.request_digest,
            at=wanted.at,
        )
        if made is not None:
            await queries.insert_balance(
                connection, card_name=name_card(made), currency=wanted.currency, amount_minor=wanted.balance_minor
            )
            return made
        # The number or the key exists; in the second case possibly from this request, a moment ago.
        made = await _find_made(connection, wanted)
        if made is not None:
            return made
    return None


async def _show(
    connection: PlainConnection, merchant_id: int, test_data_id: int, *, is_deleted_too: bool = False
) -> dict[str, Any] | None:
    row = await queries.select_test_data(
        connection, merchant_id=merchant_id, test_data_id=test_data_id, is_deleted_too=is_deleted_too
    )
    return _describe(row) if row else None


def _describe(row: Record) -> dict[str, Any]:
    return {
        "id": row["test_data_id"],
        "type": row["type"],
        "number": row["number"],
        "balanceMinor": row["balance_minor"],
        "currency": row["currency"],
        "allowedIps": row["allowed_ips"],
        "emulate3ds": row["emulates_3ds"],
        "blocked": row["is_blocked"],
        "expired": row["is_expired"],
        "comment": row["comment"],
        "transactions": row["transactions"],
        "createdAt": _second(row["created_at"]),
        "updatedAt": _second(row["updated_at"]),
    }


def _second(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def draw_number(kind: str) -> str:
    """Draw a number for a type of test data. It is not a published one; the database checks that it is new."""
    if kind == "sepa":
        return build_iban(f"{secrets.randbelow(10**10):010d}")
    prefix, length = RANGES[kind]
    while True:
        digits = length - len(prefix) - 1
        body = f"{prefix}{secrets.randbelow(10**digits):0{digits}d}"
        number = next(body + check for check in "0123456789" if is_luhn_valid(body + check))
        if find_card(CardNumber(number)) is None:
            return number


def build_iban(account_number: str) -> str:
    """Build a German IBAN (ISO 13616-1) with its check digits (ISO 7064 MOD 97-10, letters as numbers)."""
    account = GERMAN_BANK_CODE + account_number
    country = "".join(str(int(letter, 36)) for letter in "DE")
    return f"DE{98 - int(account + country + '00') % 97:02d}{account}"
