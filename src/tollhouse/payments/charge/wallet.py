"""The cards that a consumer may pay with again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tollhouse.kernel.card import Expiry
from tollhouse.vault.accounts import list_accounts, select_account

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from tollhouse.payments.tools import Tools
    from tollhouse.vault.accounts import Account

#: Cards that are looked at: one who has more of them disabled than this finds none.
MAX_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class StoredCard:
    """A card that was paid with before, as far as it may be shown. `expiry_year` has four digits."""

    account_id: UUID
    brand: str
    masked_number: str
    expiry_month: int
    expiry_year: int


def _is_past(month: int, year: int, at: datetime) -> bool:
    return Expiry(month, year).is_past(year=at.year, month=at.month)


async def list_cards(tools: Tools, *, merchant_id: int, consumer_id: str, at: datetime, most: int) -> list[StoredCard]:
    """Return up to `most` of a consumer's stored cards that are enabled and not expired, newest first."""
    async with tools.database.acquire() as connection:
        accounts = await list_accounts(
            connection, merchant_id=merchant_id, consumer_id=consumer_id, after=None, most=MAX_LOOKED_AT
        )
    usable = [one for one in accounts if not one.disabled and not _is_past(one.expiry_month, one.expiry_year, at)]
    return [
        StoredCard(one.account_id, one.brand, one.masked_number, one.expiry_month, one.expiry_year)
        for one in usable[:most]
    ]


async def find_card(
    tools: Tools, *, merchant_id: int, account_id: UUID, consumer_id: str, at: datetime
) -> Account | None:
    """Return a stored card if it is this consumer's, enabled and not expired, or None."""
    async with tools.database.acquire() as connection:
        account = await select_account(connection, merchant_id=merchant_id, account_id=account_id)
    is_usable = (
        account is not None
        and account.consumer_id == consumer_id
        and not account.disabled
        and not _is_past(account.expiry_month, account.expiry_year, at)
    )
    return account if is_usable else None
