"""Apply account updates to stored cards: a new expiry, or a replacement number."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from tollhouse.kernel.card import Card
from tollhouse.storage.database import PlainConnection
from tollhouse.vault.accounts import StoredCard, select_account
from tollhouse.vault.security_codes import queries
from tollhouse.vault.vault import Vault


class UpdatedCard(NamedTuple):
    """A stored card after an update. `replaced_id` is the ID before the update, and may be the same."""

    consumer_id: str
    account_id: UUID
    replaced_id: UUID


async def update_card(
    connection: PlainConnection, vault: Vault, *, merchant_id: int, account_id: UUID, card: Card
) -> UpdatedCard | None:
    """Store an updated card in the caller's database transaction. Return None if the stored card does not exist.

    A new expiry updates the stored card. A new number creates another stored card, sealed for its own row; the old ID
    leads to it from then on. It inherits the network transaction ID, which otherwise only a customer's payment
    provides. Repeating an update changes nothing.
    """
    stored = await select_account(connection, merchant_id=merchant_id, account_id=account_id)
    if stored is None:
        return None
    fingerprint = vault.fingerprint(card.number, merchant_id=merchant_id)
    new_id = vault.account_id(merchant_id=merchant_id, consumer_id=stored.consumer_id, fingerprint=fingerprint)
    if new_id == stored.account_id:
        await queries.update_account_expiry(connection, **_columns(vault, merchant_id, new_id, card))
    else:
        await _replace(connection, stored, fingerprint, _columns(vault, merchant_id, new_id, card), card)
    return UpdatedCard(stored.consumer_id, new_id, stored.account_id)


async def _replace(
    connection: PlainConnection, stored: StoredCard, fingerprint: bytes, columns: dict[str, Any], card: Card
) -> None:
    """Replace a stored card by another."""
    key = {"merchant_id": stored.merchant_id, "account_id": columns["account_id"], "replaced_id": stored.account_id}
    await queries.lock_replacements(connection, merchant_id=stored.merchant_id, consumer_id=stored.consumer_id)
    await queries.lock_accounts(
        connection, merchant_id=stored.merchant_id, account_ids=[stored.account_id, columns["account_id"]]
    )
    await queries.insert_replacement(
        connection,
        **(columns | key),
        fingerprint=fingerprint,
        brand=card.number.brand.name,
        masked_number=card.number.masked,
    )
    await queries.update_accounts_replaced(connection, **key)


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
