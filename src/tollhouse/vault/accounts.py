"""Stored cards of consumers. There is one for each consumer and card number; a new expiry updates it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from tollhouse.storage.database import PlainConnection
from tollhouse.vault.seal import Sealed
from tollhouse.vault.security_codes import queries


@dataclass(frozen=True, slots=True)
class StoredCard:
    """A stored card with its consumer's profile. `expiry_year` has four digits."""

    merchant_id: int
    account_id: UUID
    consumer_id: str
    fingerprint: bytes
    card: Sealed
    brand: str
    masked_number: str
    expiry_month: int
    expiry_year: int
    disabled: bool
    network_transaction_id: str | None
    external_id: str | None
    profile: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredCardOwner:
    """The merchant of a stored card, and the card's brand."""

    merchant_id: int
    brand: str
    is_merchant_active: bool


@dataclass(frozen=True, slots=True)
class StoredCardView:
    """The public fields of a stored card. `expiry_year` has four digits."""

    account_id: UUID
    brand: str
    masked_number: str
    expiry_month: int
    expiry_year: int
    disabled: bool


class StoredCardRow(NamedTuple):
    """A card to be stored, as the columns of `card_v1`."""

    merchant_id: int
    account_id: UUID
    consumer_id: str
    fingerprint: bytes
    key_version: int
    sealed_card: bytes
    brand: str
    masked_number: str
    expiry_month: int
    expiry_year: int
    network_transaction_id: str | None


async def select_account(connection: PlainConnection, *, merchant_id: int, account_id: UUID) -> StoredCard | None:
    """Return a merchant's stored card, or None."""
    return (await select_accounts_of(connection, [(merchant_id, account_id)])).get((merchant_id, account_id))


async def select_accounts_of(
    connection: PlainConnection, keys: Iterable[tuple[int, UUID]]
) -> dict[tuple[int, UUID], StoredCard]:
    """Return stored cards, or their replacements, by merchant and requested ID."""
    sought = list(keys)
    rows = queries.select_accounts_of(
        connection,
        merchant_ids=[merchant_id for merchant_id, _ in sought],
        account_ids=[account_id for _, account_id in sought],
    )
    return {(row["merchant_id"], row["named_id"]): _read_account(row) async for row in rows}


def _read_account(row: Mapping[str, Any]) -> StoredCard:
    fields = dict(row)
    del fields["named_id"]
    fields["card"] = Sealed(fields.pop("sealed_card"), fields.pop("key_version"))
    fields["profile"] = json.loads(fields["profile"])
    return StoredCard(**fields)


async def select_account_holder(
    connection: PlainConnection, *, account_id: UUID, consumer_id: str
) -> StoredCardOwner | None:
    """Return the owner of a stored card if the card is this consumer's, else None.

    Callers cannot learn which ID was wrong.
    """
    row = await queries.select_account_holder(connection, account_id=account_id, consumer_id=consumer_id)
    return StoredCardOwner(**row) if row else None


async def list_accounts(
    connection: PlainConnection, *, merchant_id: int, consumer_id: str, after: UUID | None, most: int
) -> list[StoredCardView]:
    """Return up to `most` of a consumer's stored cards, newest first, after the given one."""
    rows = queries.select_accounts(connection, merchant_id=merchant_id, consumer_id=consumer_id, after=after, most=most)
    return [StoredCardView(**row) async for row in rows]


async def update_account_disabled(
    connection: PlainConnection, *, merchant_id: int, account_id: UUID, disabled: bool
) -> bool:
    """Enable or disable a merchant's stored card for payments. Return whether the card exists."""
    found = await queries.update_account_disabled(
        connection, merchant_id=merchant_id, account_id=account_id, disabled=disabled
    )
    return bool(found)
