"""Find a link, and the stored cards that its consumer may use."""

from __future__ import annotations

from tollhouse.kernel.errors import NotFound
from tollhouse.links.model import Link
from tollhouse.links.store import select_language, select_link
from tollhouse.payments.authentications import digest_key
from tollhouse.payments.charge.wallet import WalletCard, list_cards
from tollhouse.payments.model import Payment
from tollhouse.storage.database import Database

#: The number of stored cards on a page, newest first.
MAX_CARDS = 5


async def find_link(database: Database, key: str) -> Link:
    """Return the link with this key. Raises NotFound."""
    async with database.acquire() as connection:
        link = await select_link(connection, digest_key(key))
    if link is None:
        raise NotFound
    return link


async def find_stored_cards(database: Database, link: Link) -> list[WalletCard]:
    """Return the consumer's usable stored cards, newest first. Return none if the merchant named no consumer."""
    return await list_cards(
        database,
        merchant_id=link.merchant_id,
        consumer_id=link.terms.consumer_id,
        at=link.merchant_time,
        most=MAX_CARDS,
    )


async def find_language(database: Database, payment: Payment) -> str | None:
    """Return the language that the merchant chose for the page of a payment, or None."""
    if payment.page_try is None:
        return None
    async with database.acquire() as connection:
        return await select_language(connection, payment.merchant_id, payment.payment_id)
