"""A payment as requested, before its references are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tollhouse.acquirers.model import Initiator
from tollhouse.catalog.model import Price
from tollhouse.idempotency.model import Claim
from tollhouse.kernel.card import Card, Cvv
from tollhouse.notices.model import ReceiptRequest
from tollhouse.payments.charge.wallet import StoredCard
from tollhouse.payments.model import ExternalAuthentication, Item, PageTry, Renewing, SubscriptionSummary
from tollhouse.threeds.model import BrowserData


class RequestedItem(Struct, frozen=True):
    """An item sold by a site or as an SKU, named as sent; its own prices replace those of the SKU."""

    site_id: str | None = None
    sku_name: str | None = None
    title: str = ""
    prices: tuple[Price, ...] = ()
    extras: Mapping[str, Any] = {}


class RequestedSource(Struct, frozen=True, kw_only=True):
    """The card to charge, in plain text or by a reference, and the way to charge it. References are as sent."""

    #: The paymentSource.type of the response.
    kind: str = ""
    card: Card | None = None
    #: The security code; for a stored card it may come alone.
    code: Cvv | None = None
    token: str | None = None
    account_id: str | None = None
    #: A stored card that was loaded already.
    account: StoredCard | None = None
    #: The consumer whose last card is charged.
    consumer_id: str | None = None
    initiator: Initiator = "customer"
    asks_authentication: bool = False
    mid: str | None = None
    emulate_code: str | None = None
    external_authentication: ExternalAuthentication | None = None


class RequestedConsumer(Struct, frozen=True, kw_only=True):
    """The consumer, as far as the request describes them."""

    #: The gateway's ID of the consumer, or the merchant's own.
    consumer_id: str | None = None
    external_id: str | None = None
    profile: Mapping[str, Any] = {}
    ip: str = ""
    browser: BrowserData | None = None


class RequestedPayment(Struct, frozen=True, kw_only=True):
    """A payment as the API, a payment page or billing requests it.

    A faulty request has only its references filled in (`payments.charge.references`).
    """

    merchant_id: int
    request_id: str = ""
    claim: Claim | None = None
    #: An `Item` comes from a page or a subscription and is used unchanged.
    items: tuple[RequestedItem | Item, ...]
    source: RequestedSource
    consumer: RequestedConsumer
    #: The gateway's ID of the consumer who has to pay, if that is decided already.
    payer_id: str | None = None
    metadata: str = "{}"
    ipn_url: str | None = None
    redirect_url: str | None = None
    receipt: ReceiptRequest | None = None
    #: At most one of these: a try on a payment page, a renewal, the subscription that gets another card.
    page_try: PageTry | None = None
    renewing: Renewing | None = None
    changing: SubscriptionSummary | None = None
    #: That of the payment which began the agreement, for a renewal.
    network_transaction_id: str | None = None

    @property
    def is_purchase(self) -> bool:
        """Whether it sells something, rather than serving an existing subscription."""
        return self.renewing is None and self.changing is None
