"""Looking up what a request points at: site, SKU, token, stored card, consumer. Reads only.

Faults are collected by their path in the request, so that the client hears of all of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from tollhouse.consumers.store import select_consumer
from tollhouse.kernel.ids import is_consumer_id
from tollhouse.vault.accounts import select_account
from tollhouse.vault.tokens import select_token

if TYPE_CHECKING:
    from datetime import datetime

    from tollhouse.catalog.model import Site, Sku
    from tollhouse.consumers.model import Consumer
    from tollhouse.payments.model import References
    from tollhouse.payments.tools import Tools
    from tollhouse.vault.accounts import Account
    from tollhouse.vault.tokens import StoredToken

#: The largest number of a 64-bit id; nothing above it was ever issued.
LARGEST_ID = 2**63 - 1


@dataclass(slots=True)
class Resolved:
    """What the references of a request lead to, and the faults of those that lead nowhere."""

    site: Site | None = None
    sku: Sku | None = None
    token: StoredToken | None = None
    account: Account | None = None
    consumer: Consumer | None = None
    faults: dict[str, list[str]] = field(default_factory=dict)

    def blame(self, path: str, text: str) -> None:
        """Note a fault of the field at this path."""
        self.faults.setdefault(path, []).append(text)


async def resolve(tools: Tools, references: References) -> Resolved:
    """Look up everything that a request points at."""
    resolved = Resolved()
    await _resolve_sku(tools, references, resolved)
    if references.token is not None:
        await _resolve_token(tools, references, resolved)
    if references.source_consumer_id is not None:
        await _resolve_source_consumer(tools, references, resolved)
    elif references.account_id is not None:
        await _resolve_account(tools, references, resolved)
    if references.consumer_id is not None:
        await _resolve_consumer(tools, references, resolved)
    _check_urls(references, resolved)
    return resolved


async def _resolve_sku(tools: Tools, references: References, resolved: Resolved) -> None:
    if references.sku_name is not None:
        resolved.sku = await tools.catalog.sku(references.merchant_id, references.sku_name)
        if resolved.sku is None:
            resolved.blame("sku.name", "is unknown")
    named_site_id = resolved.sku.site_id if resolved.sku else None
    site_id = _read_id(references.site_id) if references.site_id else named_site_id
    if site_id is not None:
        resolved.site = await tools.catalog.site(references.merchant_id, site_id)
    if references.site_id and resolved.site is None:
        resolved.blame("sku.siteId", "is unknown")


async def _resolve_token(tools: Tools, references: References, resolved: Resolved) -> None:
    token_id = _read_uuid(references.token)
    token = None
    if token_id is not None:
        async with tools.database.acquire() as connection:
            token = await select_token(connection, token_id)
    fault = find_token_fault(token, merchant_id=references.merchant_id, now=tools.clock.now())
    if fault is not None:
        resolved.blame("paymentSource.token", fault)
    else:
        resolved.token = token


def find_token_fault(token: StoredToken | None, *, merchant_id: int, now: datetime) -> str | None:
    """Say what keeps a token from being used, or None. Another merchant's token is as unknown as none."""
    if token is None or token.merchant_id not in {None, merchant_id}:
        return "is unknown; tokenize the card again"
    if token.used_by is not None:
        return "was used already; tokenize the card again"
    if token.expires_at <= now or token.card is None:
        return "has expired; tokenize the card again"
    return None


async def _resolve_account(tools: Tools, references: References, resolved: Resolved) -> None:
    account_id = _read_uuid(references.account_id)
    if account_id is not None:
        async with tools.database.acquire() as connection:
            resolved.account = await select_account(
                connection, merchant_id=references.merchant_id, account_id=account_id
            )
    if resolved.account is None:
        resolved.blame("paymentSource.paymentAccountId", "is unknown")


async def _resolve_source_consumer(tools: Tools, references: References, resolved: Resolved) -> None:
    """Find the card of the consumer's last successful payment. Only the gateway's own ids name a consumer here."""
    async with tools.database.acquire() as connection:
        found = await select_consumer(
            connection, merchant_id=references.merchant_id, consumer_id=references.source_consumer_id or ""
        )
        if found is None:
            resolved.blame("paymentSource.id", "is no consumer id of the gateway")
        elif found[1] is None:
            resolved.blame("paymentSource.id", "is a consumer without a successful payment")
        else:
            resolved.account = await select_account(connection, merchant_id=references.merchant_id, account_id=found[1])


async def _resolve_consumer(tools: Tools, references: References, resolved: Resolved) -> None:
    """Find the consumer that `consumer.id` names, which may as well be the merchant's own id.

    With a stored card it has to be the card's owner.
    """
    sent, owner = references.consumer_id or "", resolved.account
    if owner is not None:
        if sent not in {owner.consumer_id, owner.external_id}:
            resolved.blame("consumer.id", "is not the consumer whose card this is")
    elif is_consumer_id(sent):
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
    if text and text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= LARGEST_ID:
        return int(text)
    return None


def _read_uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text)
    except (ValueError, TypeError, AttributeError):
        return None
