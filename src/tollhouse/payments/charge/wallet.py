"""Read stored cards with their consumers' profiles, and list those that a consumer may use again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tollhouse.kernel.card import Expiry
from tollhouse.payments.store import queries
from tollhouse.storage.database import Database, PlainConnection
from tollhouse.vault.accounts import StoredCardView, list_accounts
from tollhouse.vault.seal import Sealed

#: Cards that are read: a consumer with more disabled cards than this gets none.
MAX_READ_CARDS = 50


@dataclass(frozen=True, slots=True)
class StoredCard:
    """A stored card with its consumer's profile. `expiry_year` has four digits."""

    merchant_id: int
    account_id: UUID
    consumer_id: str
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
class WalletCard:
    """A stored card without its secrets. `expiry_year` has four digits."""

    account_id: UUID
    brand: str
    masked_number: str
    expiry_month: int
    expiry_year: int


def is_usable(card: StoredCard | StoredCardView, at: datetime) -> bool:
    """Return whether a stored card is enabled and not expired."""
    return not card.disabled and not Expiry(card.expiry_month, card.expiry_year).is_past(year=at.year, month=at.month)


async def select_card(connection: PlainConnection, *, merchant_id: int, account_id: UUID) -> StoredCard | None:
    """Return a merchant's stored card, or its replacement, or None."""
    return (await select_cards(connection, [(merchant_id, account_id)])).get((merchant_id, account_id))


async def select_cards(
    connection: PlainConnection, keys: Iterable[tuple[int, UUID]]
) -> dict[tuple[int, UUID], StoredCard]:
    """Return stored cards, or their replacements, by merchant and requested ID."""
    sought = list(keys)
    rows = queries.select_cards(
        connection,
        merchant_ids=[merchant_id for merchant_id, _ in sought],
        account_ids=[account_id for _, account_id in sought],
    )
    return {(row["merchant_id"], row["named_id"]): _read_card(row) async for row in rows}


def _read_card(row: Mapping[str, Any]) -> StoredCard:
    fields = dict(row)
    del fields["named_id"]
    fields["card"] = Sealed(fields.pop("sealed_card"), fields.pop("key_version"))
    fields["profile"] = json.loads(fields["profile"])
    return StoredCard(**fields)


async def list_cards(
    database: Database, *, merchant_id: int, consumer_id: str, at: datetime, max_rows: int
) -> list[WalletCard]:
    """Return up to `max_rows` of a consumer's stored cards that are enabled and not expired, newest first."""
    async with database.acquire() as connection:
        accounts = await list_accounts(
            connection, merchant_id=merchant_id, consumer_id=consumer_id, after=None, most=MAX_READ_CARDS
        )
    return [
        WalletCard(one.account_id, one.brand, one.masked_number, one.expiry_month, one.expiry_year)
        for one in [each for each in accounts if is_usable(each, at)][:max_rows]
    ]
