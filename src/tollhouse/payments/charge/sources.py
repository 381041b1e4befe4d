"""Looking up what a request points at: site, SKU, token, stored card, consumer. Reads only.

Faults are collected by their path in the request, so that the client hears of all of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from tollhouse.consumers.model import derive_consumer_id
from tollhouse.consumers.store import select_consumer
from tollhouse.kernel.ids import is_consumer_id
from tollhouse.payments.routing import find_account
from tollhouse.vault.accounts import select_account
from tollhouse.vault.tokens import select_token

if TYPE_CHECKING:
    from datetime import datetime

    from tollhouse.catalog.model import Site, Sku
    from tollhouse.consumers.model import Consumer
    from tollhouse.payments.charge.requested_payment import References, SkuReference
    from tollhouse.payments.tools import Tools
    from tollhouse.storage.database import PlainConnection
    from tollhouse.vault.accounts import Account
    from tollhouse.vault.tokens import StoredToken

#: The source that names no card: that of the request's consumer is charged.
CARD_ON_FILE = "cc_token"
UNKNOWN_TOKEN = "is unknown; tokenize the card again"  # noqa: S105 - a sentence

#: The largest number of a 64-bit id; nothing above it was ever issued.
MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ResolvedSku:
    """Where one item of a purchase is sold, and the SKU that it names, if it names one."""

    path: str
    site: Site | None
    sku: Sku | None


@dataclass(slots=True)
class Resolved:
    """What the references of a request lead to, and the faults of those that lead nowhere."""

    skus: list[ResolvedSku] = field(default_factory=list)
    token: StoredToken | None = None
    account: Account | None = None
    consumer: Consumer | None = None
    faults: dict[str, list[str]] = field(default_factory=dict)

    @property
    def site(self) -> Site | None:
        """The site whose rules and addresses hold: that of the first item."""
        return self.skus[0].site if self.skus else None

    def blame(self, path: str, text: str) -> None:
        """Note a fault of the field at this path."""
        self.faults.setdefault(path, []).append(text)


async def resolve(tools: Tools, references: References) -> Resolved:
    """Look up everything that a request points at."""
    resolved = Resolved()
    for reference in references.skus:
        resolved.skus.append(await _resolve_sku(tools, references.merchant_id, reference, resolved))
    await _resolve_source(tools, references, resolved)
    if references.consumer_id is not None:
        await _resolve_consumer(tools, references, resolved)
    if references.mid is not None and find_account(references.mid, tools.routes) is None:
        resolved.blame("paymentSource.mid", "is unknown")
    _check_urls(references, resolved)
    return resolved


async def _resolve_sku(tools: Tools, merchant_id: int, reference: SkuReference, resolved: Resolved) -> ResolvedSku:
    sku = site = None
    if reference.name is not None:
        sku = await tools.catalog.sku(merchant_id, reference.name)
        if sku is None:
            resolved.blame(f"{reference.path}.name", "is unknown")
    site_id = _read_id(reference.site_id) if reference.site_id else sku.site_id if sku else None
    if site_id is not None:
        site = await tools.catalog.site(merchant_id, site_id)
    if reference.site_id and site is None:
        resolved.blame(f"{reference.path}.siteId", "is unknown")
    if site is not None and not site.is_enabled:
        resolved.blame(f"{reference.path}.{'siteId' if reference.site_id else 'name'}", "is switched off")
    return ResolvedSku(reference.path, site, sku)


async def _resolve_source(tools: Tools, references: References, resolved: Resolved) -> None:
    if references.token is not None:
        await _resolve_token(tools, references, resolved)
    elif references.source_consumer_id is not None:
        await _resolve_source_consumer(tools, references, resolved)
    elif references.account_id is not None:
        await _resolve_account(tools, references, resolved)
    elif references.source_kind == CARD_ON_FILE:
        await _resolve_card_on_file(tools, references, resolved)


async def _resolve_token(tools: Tools, references: References, resolved: Resolved) -> None:
    sent = _read_uuid(references.token)
    token = None
    if sent is not None:
        async with tools.database.acquire() as connection:
            token = await select_token(connection, sent, merchant_id=references.merchant_id)
    fault = find_token_fault(token, merchant_id=references.merchant_id, now=tools.clock.now())
    if fault is not None or token is None:
        resolved.blame("paymentSource.token", fault or UNKNOWN_TOKEN)
        return
    resolved.token = token
    if token.account_id is not None:
        await _load_account(tools, references, resolved, token.account_id, path="paymentSource.token")


def find_token_fault(token: StoredToken | None, *, merchant_id: int, now: datetime) -> str | None:
    """Say what keeps a token from being used, or None. Another merchant's token is as unknown as none."""
    if token is None or token.merchant_id not in {None, merchant_id}:
        return UNKNOWN_TOKEN
    if token.used_by is not None:
        return "was used already; tokenize the card again"
    if token.expires_at <= now or (token.sealed_card is None and token.account_id is None):
        return "has expired; tokenize the card again"
    return None


async def _resolve_account(tools: Tools, references: References, resolved: Resolved) -> None:
    account_id = _read_uuid(references.account_id)
    if account_id is None:
        resolved.blame("paymentSource.paymentAccountId", "is unknown")
        return
    await _load_account(tools, references, resolved, account_id, path="paymentSource.paymentAccountId")


async def _load_account(
    tools: Tools, references: References, resolved: Resolved, account_id: UUID, *, path: str
) -> None:
    async with tools.database.acquire() as connection:
        resolved.account = await select_account(connection, merchant_id=references.merchant_id, account_id=account_id)
    if resolved.account is None:
        resolved.blame(path, "is unknown")


async def _resolve_source_consumer(tools: Tools, references: References, resolved: Resolved) -> None:
    """Find the card of the consumer's last successful payment. Only the gateway's own ids name a consumer here."""
    async with tools.database.acquire() as connection:
        found = await select_consumer(
            connection, merchant_id=references.merchant_id, consumer_id=references.source_consumer_id or ""
        )
        if found is None:
            resolved.blame("paymentSource.id", "is no consumer id of the gateway")
        else:
            await _choose_last_card(connection, found, resolved, path="paymentSource.id")


async def _choose_last_card(
    connection: PlainConnection, found: tuple[Consumer, UUID | None], resolved: Resolved, *, path: str
) -> None:
    consumer, account_id = found
    if account_id is None:
        resolved.blame(path, "is a consumer without a successful payment")
        return
    resolved.account = await select_account(connection, merchant_id=consumer.merchant_id, account_id=account_id)
    if resolved.account is None:
        resolved.blame(path, "is a consumer whose card is gone")


async def _resolve_card_on_file(tools: Tools, references: References, resolved: Resolved) -> None:
    """Find the card of the last successful payment of the request's own consumer, whoever's id names that one."""
    named = references.consumer_id or references.external_id
    path = "consumer.externalId" if references.consumer_id is None and references.external_id else "consumer.id"
    if named is None:
        resolved.blame(path, "is required for cc_token, or consumer.externalId: it says whose stored card is charged")
        return
    async with tools.database.acquire() as connection:
        found = await _find_named_consumer(tools, connection, references)
        if found is None:
            resolved.blame(path, "is a consumer without a successful payment")
        else:
            await _choose_last_card(connection, found, resolved, path=path)


async def _find_named_consumer(
    tools: Tools, connection: PlainConnection, references: References
) -> tuple[Consumer, UUID | None] | None:
    """Find the consumer by the gateway's id, else by the merchant's own, as a payment with a card would."""
    merchant_id, sent = references.merchant_id, references.consumer_id
    found = None
    if sent is not None and is_consumer_id(sent):
        found = await select_consumer(connection, merchant_id=merchant_id, consumer_id=sent)
    if found is not None:
        return found
    derived = derive_consumer_id(
        tools.vault.identity_key, merchant_id=merchant_id, external_id=references.external_id or sent or ""
    )
    return await select_consumer(connection, merchant_id=merchant_id, consumer_id=derived)


async def _resolve_consumer(tools: Tools, references: References, resolved: Resolved) -> None:
    """Find the consumer that `consumer.id` names, which may as well be the merchant's own id.

    With a stored card it has to be the card's owner.
    """
    sent, owner = references.consumer_id or "", resolved.account
    if owner is not None:
        if sent not in {owner.consumer_id, owner.external_id}:
            resolved.blame("consumer.id", "is not the consumer whose card this is")
    elif is_consumer_id(sent) and references.source_kind != CARD_ON_FILE:
        async with tools.database.acquire() as connection:
            found = await select_consumer(connection, merchant_id=references.merchant_id, consumer_id=sent)
        resolved.consumer = found[0] if found else None


def _check_urls(references: References, resolved: Resolved) -> None:
    site = resolved.site
    if not references.has_ipn_url and not (site and site.ipn_url):
        resolved.blame("url.ipnUrl", "is required, here or at the site")
    if not references.has_redirect_url and not (site and site.redirect_url):
        resolved.blame("url.redirectUrl", "is required, here or at the site")


def _read_id(text: str | None) -> int | None:
    if text and text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= MAX_ID:
        return int(text)
    return None


def _read_uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text)
    except (ValueError, TypeError, AttributeError):
        return None
