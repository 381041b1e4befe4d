"""List the stored cards that a consumer may use again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from tollhouse.kernel.card import Expiry
from tollhouse.storage.database import Database, PlainConnection
from tollhouse.vault.accounts import StoredCard, list_accounts, select_accounts_of

#: A stored card with the profile of its consumer.
LoadedCard = StoredCard

#: Cards that are read: a consumer with more disabled cards than this gets none.
MAX_READ_CARDS = 50


@dataclass(frozen=True, slots=True)
class WalletCard:
    """A stored card without its secrets. `expiry_year` has four digits."""

    account_id: UUID
    brand: str
    masked_number: str
    expiry_month: int
    expiry_year: int


class KeptCard(Protocol):
    """The fields of a stored card that decide whether it may be charged."""

    @property
    def disabled(self) -> bool:
        """Whether the merchant has disabled it."""

    @property
    def expiry_month(self) -> int:
        """The month, from 1."""

    @property
    def expiry_year(self) -> int:
        """The year, in four digits."""


def is_usable(card: KeptCard, at: datetime) -> bool:
    """Return whether a stored card is enabled and not expired."""
    return not card.disabled and not Expiry(card.expiry_month, card.expiry_year).is_past(year=at.year, month=at.month)


async def load_cards(
    connection: PlainConnection, keys: Iterable[tuple[int, UUID]]
) -> dict[tuple[int, UUID], LoadedCard]:
    """Return stored cards by merchant and account, as far as they exist."""
    return await select_accounts_of(connection, keys)


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
