"""Charging a stored card as the merchant, without its holder: a period of a subscription.

It goes the way of every payment (`payments.charge`): intention, acquirer, outcome. Nobody is there to be sent to the
bank, so what the issuer declines until its cardholder is authenticated has failed; no security code goes along, and
the network's id of the payment that began the agreement does (rules of the trade, 6.2 and 7.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from tollhouse.kernel.codes import NO_ROUTE
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.model import Item, Mode, Order, PlaintextCard, Renewing, Source
from tollhouse.payments.routing import NO_ACQUIRER, choose_acquirer, find_account
from tollhouse.vault.accounts import Account, select_accounts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any
    from uuid import UUID

    from tollhouse.catalog.model import Site
    from tollhouse.kernel.money import Money
    from tollhouse.kernel.requests import Reply
    from tollhouse.notices.model import ReceiptRequest
    from tollhouse.payments.tools import Tools

#: A stored card, with the profile of its consumer.
StoredCard = Account

#: What the answers call the source of such a payment.
SOURCE_KIND = "paymentAccountId"


class Mandate(Struct, frozen=True):
    """One charge that was agreed on: of whom, for what, and how much."""

    renewing: Renewing
    site: Site
    account: StoredCard
    item: Item
    money: Money
    request_id: str
    external_id: str | None
    consumer: Mapping[str, Any]
    consumer_ip: str
    metadata: str
    ipn_url: str
    redirect_url: str
    network_transaction_id: str | None
    mid: str | None
    receipt: ReceiptRequest | None


async def find_cards(tools: Tools, keys: Iterable[tuple[int, UUID]]) -> dict[tuple[int, UUID], StoredCard]:
    """Return stored cards by merchant and account, as far as they are there."""
    async with tools.database.acquire() as connection:
        return await select_accounts_of(connection, keys)


async def charge_mandate(tools: Tools, mandate: Mandate) -> Reply:
    """Charge what was agreed on, and return the answer as a merchant would get it.

    Raises Superseded when what it rests on has changed since it was read, and Unavailable when nobody knows whether
    the intention was committed.
    """
    return await charge(tools, _build_order(tools, mandate))


def _build_order(tools: Tools, mandate: Mandate) -> Order:
    account = mandate.account
    card = tools.vault.open_card(account.card, merchant_id=account.merchant_id, account_id=account.account_id)
    routes = tools.routes
    acquirer = find_account(mandate.mid, routes) if mandate.mid else choose_acquirer(list(tools.acquirers))
    return Order(
        merchant_id=account.merchant_id,
        request_id=mandate.request_id,
        claim=None,
        site=mandate.site,
        items=(mandate.item,),
        money=mandate.money,
        mode=Mode.SALE,
        consumer_id=account.consumer_id,
        is_consumer_known=True,
        external_id=mandate.external_id,
        consumer=mandate.consumer,
        consumer_ip=mandate.consumer_ip,
        metadata=mandate.metadata,
        ipn_url=mandate.ipn_url or mandate.site.ipn_url,
        redirect_url=mandate.redirect_url or mandate.site.redirect_url,
        source=_build_source(account),
        fingerprint=account.fingerprint,
        instrument=PlaintextCard(card, None),
        token_id=None,
        network_transaction_id=mandate.network_transaction_id,
        initiator="merchant",
        reason="recurring",
        asks_authentication=False,
        may_redirect=False,
        browser=None,
        emulate_code=None,
        acquirer=acquirer or NO_ACQUIRER,
        mid=mandate.mid,
        receipt=mandate.receipt,
        refused_with=None if acquirer else NO_ROUTE,
        renewing=mandate.renewing,
    )


def _build_source(account: StoredCard) -> Source:
    return Source(
        kind=SOURCE_KIND,
        brand=account.brand,
        masked_number=account.masked_number,
        expiry_month=account.expiry_month,
        expiry_year=account.expiry_year,
        account_id=account.account_id,
        is_stored=True,
    )
