"""Query the account updater about stored cards, and apply its updates."""

from __future__ import annotations

from uuid import UUID

from tollhouse.acquirers.model import AccountQuery, NotSent, Update
from tollhouse.consumers.store import update_last_account_replaced
from tollhouse.kernel.card import Card
from tollhouse.kernel.errors import NotFound
from tollhouse.kernel.ids import new_request_id
from tollhouse.payments.charge.wallet import StoredCard, select_card
from tollhouse.payments.dependencies import CardUpdateDependencies
from tollhouse.payments.routing import choose_acquirer
from tollhouse.storage.database import PlainConnection
from tollhouse.vault.accounts import update_card
from tollhouse.vault.vault import Vault

NO_ACCOUNT = "Stored card not found."


async def query_updater(deps: CardUpdateDependencies, *, merchant_id: int, account_id: UUID) -> Update:
    """Query the updater about a stored card, with no database connection held.

    Raises NotFound for an account that is not the merchant's.
    """
    async with deps.database.acquire() as connection:
        account = await _select_existing(connection, merchant_id, account_id)
    acquirer = choose_acquirer(list(deps.acquirers))
    if acquirer is None:
        return NotSent("no acquirer")
    card = deps.vault.open_card(account.card, merchant_id=merchant_id, account_id=account.account_id)
    return await deps.acquirers[acquirer].update_account(
        AccountQuery(reference=new_request_id(), card=card, acceptor=str(merchant_id))
    )


async def apply_update(
    connection: PlainConnection, vault: Vault, *, merchant_id: int, account_id: UUID, card: Card
) -> UUID:
    """Update a stored card in the caller's transaction, and return the account to charge.

    That is the same account for a new date, another one for a new number; the old ID then leads to it. Safe to repeat.
    Raises NotFound for an account that is not the merchant's.
    """
    account = await _select_existing(connection, merchant_id, account_id)
    old_id, consumer_id = account.account_id, account.consumer_id
    new_id = await update_card(
        connection, vault, merchant_id=merchant_id, account_id=old_id, consumer_id=consumer_id, card=card
    )
    if new_id != old_id:
        await update_last_account_replaced(
            connection, merchant_id=merchant_id, consumer_id=consumer_id, replaced_id=old_id, account_id=new_id
        )
    return new_id


async def _select_existing(connection: PlainConnection, merchant_id: int, account_id: UUID) -> StoredCard:
    account = await select_card(connection, merchant_id=merchant_id, account_id=account_id)
    if account is None:
        raise NotFound(NO_ACCOUNT)
    return account
