"""Stored cards of consumers, and account updates: a new expiry, or a replacement number.

There is one stored card for each consumer and card number; a new expiry updates it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from tollhouse.kernel.card import Card
from tollhouse.storage.database import PlainConnection
from tollhouse.vault.security_codes import queries
from tollhouse.vault.vault import Vault


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


async def update_card(
    connection: PlainConnection, vault: Vault, *, merchant_id: int, account_id: UUID, consumer_id: str, card: Card
) -> UUID:
    """Update a stored card in the caller's database transaction, and return its ID from then on.

    A new expiry updates the stored card. A new number creates another stored card, sealed for its own row; the old ID
    leads to it from then on. It inherits the network transaction ID, which otherwise only a customer's payment
    provides. Repeating an update changes nothing.
    """
    fingerprint = vault.fingerprint(card.number, merchant_id=merchant_id)
    new_id = vault.account_id(merchant_id=merchant_id, consumer_id=consumer_id, fingerprint=fingerprint)
    columns = _columns(vault, merchant_id, new_id, card)
    if new_id == account_id:
        await queries.update_account_expiry(connection, **columns)
        return new_id
    await queries.lock_replacements(connection, merchant_id=merchant_id, consumer_id=consumer_id)
    await queries.lock_accounts(connection, merchant_id=merchant_id, account_ids=[account_id, new_id])
    await queries.insert_replacement(
        connection,
        **columns,
        replaced_id=account_id,
        fingerprint=fingerprint,
        brand=card.number.brand.name,
        masked_number=card.number.masked,
    )
    await queries.update_accounts_replaced(
        connection, merchant_id=merchant_id, account_id=new_id, replaced_id=account_id
    )
    return new_id


def _columns(vault: Vault, merchant_id: int, account_id: UUID, card: Card) -> dict[str, Any]:
    sealed = vault.seal_card(card, merchant_id=merchant_id, account_id=account_id)
    return {
        "merchant_id": merchant_id,
        "account_id": account_id,
        "key_version": sealed.key_version,
        "sealed_card": sealed.content,
        "expiry_month": card.expiry.month,
        "expiry_year": card.expiry.year,
    }
