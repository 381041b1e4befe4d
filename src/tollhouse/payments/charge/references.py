"""Load the records that a request refers to: sites, SKUs, token, stored card, consumer. Reads only.

All faults are collected, so that the client gets all of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from tollhouse.catalog.model import Site, Sku
from tollhouse.consumers.model import Consumer, derive_consumer_id
from tollhouse.consumers.store import select_consumer
from tollhouse.kernel.faults import Fault, Subject
from tollhouse.kernel.ids import is_consumer_id, parse_id
from tollhouse.payments.charge.requested_payment import RequestedItem, RequestedPayment
from tollhouse.payments.charge.wallet import StoredCard, is_usable, select_card
from tollhouse.payments.dependencies import IntentLookups
from tollhouse.payments.model import Item
from tollhouse.payments.routing import find_account
from tollhouse.storage.database import PlainConnection
from tollhouse.vault.tokens import StoredToken, select_token

#: The source without a card: the stored card of the request's consumer is charged.
CARD_ON_FILE = "cc_token"
UNKNOWN = "is unknown"
UNKNOWN_TOKEN = "is unknown; tokenize the card again"  # noqa: S105 - a sentence
USED_TOKEN = "is already used; tokenize the card again"  # noqa: S105 - a sentence
NO_CONSUMER_NAMED = "is required for a stored card"
NEVER_PAID = "is a consumer without an approved payment"
OTHER_CONSUMER = "belongs to another consumer than the subscription"


class LoadedItem(Struct, frozen=True):
    """The site that sells an item, and the SKU that the item names, if any."""

    site: Site | None
    sku: Sku | None


@dataclass(slots=True)
class References:
    """The records that a payment request refers to, and the faults of its references."""

    items: list[LoadedItem] = field(default_factory=list)
    token: StoredToken | None = None
    account: StoredCard | None = None
    consumer: Consumer | None = None
    faults: list[Fault] = field(default_factory=list)

    @property
    def site(self) -> Site | None:
        """The site of the first item, whose rules and URLs apply."""
        return self.items[0].site if self.items else None

    def add_fault(self, subject: Subject, text: str, item: int | None = None) -> None:
        """Add a fault."""
        self.faults.append(Fault(subject, text, item))


async def load_references(lookups: IntentLookups, requested: RequestedPayment) -> References:
    """Load every record that a request refers to."""
    found = References(account=requested.source.account)
    for position, item in enumerate(requested.items):
        if isinstance(item, Item):
            found.items.append(await _load_offered_item(lookups, requested, item, position, found))
        else:
            found.items.append(await _load_item(lookups, requested.merchant_id, item, position, found))
    await _load_source(lookups, requested, found)
    if requested.payer_id is not None:
        await _load_payer(lookups, requested, requested.payer_id, found)
    elif requested.consumer.consumer_id is not None:
        await _load_consumer(lookups, requested, requested.consumer.consumer_id, found)
    if requested.renewing is None and requested.page_try is None:  # their terms were agreed before
        _check_terms(lookups, requested, found)
    return found


async def _load_offered_item(
    lookups: IntentLookups, requested: RequestedPayment, item: Item, position: int, found: References
) -> LoadedItem:
    """Load the site of an item with fixed prices. A disabled site keeps its subscriptions."""
    site = await lookups.catalog.site(requested.merchant_id, item.site_id)
    if requested.is_purchase and not (site and site.is_enabled):
        found.add_fault(Subject.SITE, "is disabled", position)
    return LoadedItem(site, None)


async def _load_item(
    lookups: IntentLookups, merchant_id: int, item: RequestedItem, position: int, found: References
) -> LoadedItem:
    sku = site = None
    if item.sku_name is not None:
        sku = await lookups.catalog.sku(merchant_id, item.sku_name)
        if sku is None:
            found.add_fault(Subject.SKU, UNKNOWN, position)
    site_id = parse_id(item.site_id) if item.site_id else sku.site_id if sku else None
    if site_id is not None:
        site = await lookups.catalog.site(merchant_id, site_id)
    if item.site_id and site is None:
        found.add_fault(Subject.SITE, UNKNOWN, position)
    if site is not None and not site.is_enabled:
        found.add_fault(Subject.SITE if item.site_id else Subject.SKU, "is disabled", position)
    return LoadedItem(site, sku)


async def _load_source(lookups: IntentLookups, requested: RequestedPayment, found: References) -> None:
    source = requested.source
    if source.token is not None:
        await _load_token(lookups, requested, source.token, found)
    elif source.consumer_id is not None:
        await _load_source_consumer(lookups, requested, source.consumer_id, found)
    elif source.account_id is not None:
        await _load_account(lookups, requested, _read_uuid(source.account_id), Subject.STORED_CARD, found)
    elif source.kind == CARD_ON_FILE:
        await _load_card_on_file(lookups, requested, found)


async def _load_token(lookups: IntentLookups, requested: RequestedPayment, text: str, found: References) -> None:
    token_id, token = _read_uuid(text), None
    if token_id is not None:
        async with lookups.database.acquire() as connection:
            token = await select_token(connection, token_id, merchant_id=requested.merchant_id)
    fault = find_token_fault(token, merchant_id=requested.merchant_id, now=lookups.clock.now())
    if fault is not None or token is None:
        found.add_fault(Subject.TOKEN, fault or UNKNOWN_TOKEN)
        return
    found.token = token
    if token.account_id is not None:
        await _load_account(lookups, requested, token.account_id, Subject.TOKEN, found)


def find_token_fault(token: StoredToken | None, *, merchant_id: int, now: datetime) -> str | None:
    """Return the reason that a token cannot be used, or None. Another merchant's token counts as unknown."""
    if token is None or token.merchant_id not in {None, merchant_id}:
        return UNKNOWN_TOKEN
    if token.used_by is not None:
        return USED_TOKEN
    if token.expires_at <= now or (token.sealed_card is None and token.account_id is None):
        return "has expired; tokenize the card again"
    return None


async def _load_account(
    lookups: IntentLookups, requested: RequestedPayment, account_id: UUID | None, subject: Subject, found: References
) -> None:
    if account_id is not None:
        async with lookups.database.acquire() as connection:
            found.account = await select_card(connection, merchant_id=requested.merchant_id, account_id=account_id)
    if found.account is None:
        found.add_fault(subject, UNKNOWN)


async def _load_source_consumer(
    lookups: IntentLookups, requested: RequestedPayment, consumer_id: str, found: References
) -> None:
    """Load the card of the consumer's last successful payment. Only the gateway's own IDs are accepted."""
    async with lookups.database.acquire() as connection:
        known = await select_consumer(connection, merchant_id=requested.merchant_id, consumer_id=consumer_id)
        if known is None:
            found.add_fault(Subject.SOURCE_CONSUMER, "is not a consumer ID of the gateway")
        else:
            await _choose_last_card(connection, known, Subject.SOURCE_CONSUMER, found)


async def _choose_last_card(
    connection: PlainConnection, known: tuple[Consumer, UUID | None], subject: Subject, found: References
) -> None:
    consumer, account_id = known
    if account_id is None:
        found.add_fault(subject, NEVER_PAID)
        return
    found.account = await select_card(connection, merchant_id=consumer.merchant_id, account_id=account_id)
    if found.account is None:
        found.add_fault(subject, "is a consumer without a stored card")


async def _load_card_on_file(lookups: IntentLookups, requested: RequestedPayment, found: References) -> None:
    """Load the card of the last successful payment of the request's own consumer, by either ID."""
    sent, own = requested.payer_id or requested.consumer.consumer_id, requested.consumer.external_id
    subject = Subject.EXTERNAL_ID if sent is None and own else Subject.CONSUMER
    if sent is None and own is None:
        found.add_fault(subject, NO_CONSUMER_NAMED)
        return
    async with lookups.database.acquire() as connection:
        known = await _find_named_consumer(lookups, connection, requested.merchant_id, sent, own)
        if known is None:
            found.add_fault(subject, NEVER_PAID)
        else:
            await _choose_last_card(connection, known, subject, found)


async def _find_named_consumer(
    lookups: IntentLookups, connection: PlainConnection, merchant_id: int, sent: str | None, own: str | None
) -> tuple[Consumer, UUID | None] | None:
    """Find the consumer by the gateway's ID, else by the merchant's own, as for a payment with a card."""
    known = None
    if sent is not None and is_consumer_id(sent):
        known = await select_consumer(connection, merchant_id=merchant_id, consumer_id=sent)
    if known is not None:
        return known
    derived = derive_consumer_id(lookups.vault.identity_key, merchant_id=merchant_id, external_id=own or sent or "")
    return await select_consumer(connection, merchant_id=merchant_id, consumer_id=derived)


async def _load_consumer(lookups: IntentLookups, requested: RequestedPayment, sent: str, found: References) -> None:
    """Load the consumer that the request names, perhaps by the merchant's own ID.

    If a stored card is charged, it must be the card's owner.
    """
    owner = found.account
    if owner is not None:
        if sent not in {owner.consumer_id, owner.external_id}:
            found.add_fault(Subject.CONSUMER, "is not the consumer of this card")
    elif is_consumer_id(sent) and requested.source.kind != CARD_ON_FILE:
        found.consumer = await _select_consumer(lookups, requested.merchant_id, sent)


async def _load_payer(lookups: IntentLookups, requested: RequestedPayment, payer_id: str, found: References) -> None:
    """Load the consumer who has to pay, and reject another consumer and their cards."""
    found.consumer = await _select_consumer(lookups, requested.merchant_id, payer_id)
    account = found.account
    if account is not None and account.consumer_id != payer_id:
        found.add_fault(Subject.SOURCE, OTHER_CONSUMER)
    elif account is not None and requested.page_try and not is_usable(account, _now(lookups, requested)):
        found.add_fault(Subject.STORED_CARD, "is disabled")
    if requested.consumer.consumer_id not in {None, payer_id, found.consumer.external_id if found.consumer else None}:
        found.add_fault(Subject.CONSUMER, "is not the consumer of the subscription")


async def _select_consumer(lookups: IntentLookups, merchant_id: int, consumer_id: str) -> Consumer | None:
    async with lookups.database.acquire() as connection:
        known = await select_consumer(connection, merchant_id=merchant_id, consumer_id=consumer_id)
    return known[0] if known else None


def _now(lookups: IntentLookups, requested: RequestedPayment) -> datetime:
    return lookups.clock.now_of(requested.merchant_id)


def _check_terms(lookups: IntentLookups, requested: RequestedPayment, found: References) -> None:
    """Check the acquirer account, and that the URLs for the result are given."""
    site = found.site
    if requested.source.mid is not None and find_account(requested.source.mid, lookups.routes) is None:
        found.add_fault(Subject.ACQUIRER_ACCOUNT, UNKNOWN)
    if requested.changing is not None:
        return
    if not requested.ipn_url and not (site and site.ipn_url):
        found.add_fault(Subject.CALLBACK_URL, "is required in the request or at the site")
    if not requested.redirect_url and not (site and site.redirect_url):
        found.add_fault(Subject.REDIRECT_URL, "is required in the request or at the site")


def _read_uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text)
    except (ValueError, TypeError, AttributeError):
        return None
