"""Database access for links, and for the stored cards that their consumers may use."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import timedelta
from functools import partial

from tollhouse.kernel.errors import NotFound
from tollhouse.links.model import FeeRule, Link, Terms
from tollhouse.notices.model import ReceiptRequest
from tollhouse.payments.authentications import digest_key
from tollhouse.payments.charge.wallet import WalletCard, list_cards
from tollhouse.payments.model import Payment
from tollhouse.payments.records import item_to_json, read_item
from tollhouse.payments.store import select_payment
from tollhouse.storage.database import Database, PlainConnection
from tollhouse.storage.queries import load_queries
from tollhouse.storage.sweep import Sweep
from tollhouse.wire.render import render_json

#: Retention of a link after its expiry. In this time the page says that the link has expired; afterwards, that it does
#: not exist.
KEPT = timedelta(days=30)

queries = load_queries("tollhouse.links")
#: Fields of Terms that need no conversion.
PLAIN = tuple(field.name for field in fields(Terms) if field.name not in {"items", "fee_rules", "receipt"})
#: The number of stored cards on a page, newest first.
MAX_CARDS = 5


async def insert_link(
    connection: PlainConnection,
    *,
    merchant_id: int,
    payment_id: int,
    digest: bytes,
    terms: Terms,
    request_id: str,
    ttl: timedelta,
) -> None:
    """Create a link, in the caller's database transaction."""
    await queries.insert_link(
        connection,
        merchant_id=merchant_id,
        payment_id=payment_id,
        digest=digest,
        terms=write_terms(terms),
        request_id=request_id,
        seconds=ttl.total_seconds(),
    )


async def select_link(connection: PlainConnection, digest: bytes) -> Link | None:
    """Return a link by the digest of its key, or None."""
    row = await queries.select_link(connection, digest=digest)
    if row is None:
        return None
    columns = dict(row)
    transaction_id = columns.pop("transaction_id")
    last = None
    if transaction_id is not None:
        last = await select_payment(connection, merchant_id=row["merchant_id"], transaction_id=transaction_id)
    columns["terms"] = read_terms(columns["terms"])
    columns["design"] = json.loads(columns["design"] or "{}")
    return Link(last=last, **columns)


async def select_language(connection: PlainConnection, merchant_id: int, payment_id: int) -> str | None:
    """Return the language of a link, or None."""
    language: str | None = await queries.select_language(connection, merchant_id=merchant_id, payment_id=payment_id)
    return language


async def renew_link(connection: PlainConnection, merchant_id: int, payment_id: int, *, ttl: timedelta) -> None:
    """Set the expiry of a link from now, in the caller's database transaction."""
    await queries.renew_link(connection, merchant_id=merchant_id, payment_id=payment_id, seconds=ttl.total_seconds())


async def lock_repayment(connection: PlainConnection, merchant_id: int, transaction_id: int, *, payment_id: int) -> int:
    """Lock and return the payment that repays a chargeback, or the given one if none exists yet."""
    locked: int = await queries.lock_repayment(
        connection, merchant_id=merchant_id, transaction_id=transaction_id, payment_id=payment_id
    )
    return locked


async def update_repayment(
    connection: PlainConnection, merchant_id: int, transaction_id: int, *, payment_id: int
) -> None:
    """Replace the payment that repays a chargeback, in the caller's database transaction."""
    await queries.update_repayment(
        connection, merchant_id=merchant_id, transaction_id=transaction_id, payment_id=payment_id
    )


#: Links past their retention.
SWEEPS = (
    Sweep("payment_link", partial(queries.delete_old_links, kept=KEPT), partial(queries.select_links_lag, kept=KEPT)),
)


def write_terms(terms: Terms) -> str:
    """Serialize terms for their column."""
    content = {name: getattr(terms, name) for name in PLAIN}
    content["items"] = [item_to_json(item) for item in terms.items]
    content["fee_rules"] = [[rule.kind, rule.country, rule.method, rule.amount_minor] for rule in terms.fee_rules]
    content["receipt"] = [terms.receipt.to, terms.receipt.language] if terms.receipt else None
    return render_json(content).decode()


def read_terms(text: str) -> Terms:
    """Parse terms from their column."""
    content = json.loads(text)
    return Terms(
        items=tuple(read_item(item) for item in content["items"]),
        fee_rules=tuple(FeeRule(*rule) for rule in content["fee_rules"]),
        receipt=ReceiptRequest(*content["receipt"]) if content.get("receipt") else None,
        **{name: content[name] for name in PLAIN if name in content},
    )


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
        max_rows=MAX_CARDS,
    )


async def find_language(database: Database, payment: Payment) -> str | None:
    """Return the language that the merchant chose for the page of a payment, or None."""
    if payment.page_try is None:
        return None
    async with database.acquire() as connection:
        return await select_language(connection, payment.merchant_id, payment.payment_id)
