"""A payment as it is asked for: what its request points at, and what it wants, before anything was looked up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tollhouse.acquirers.model import Initiator
from tollhouse.kernel.card import Card, Cvv

if TYPE_CHECKING:
    from tollhouse.catalog.model import Price
    from tollhouse.kernel.requests import Claim
    from tollhouse.notices.model import ReceiptRequest
    from tollhouse.payments.model import ExternalAuthentication
    from tollhouse.threeds.model import BrowserData


class SkuReference(Struct, frozen=True):
    """What an item of a request points at; `path` is where it stands there: `sku`, or `sku.1` in a bundle."""

    path: str
    site_id: str | None
    name: str | None


class References(Struct, frozen=True):
    """What a request points at, as far as it can be read, also from a request that is faulty elsewhere."""

    merchant_id: int
    skus: tuple[SkuReference, ...]
    source_kind: str | None = None
    token: str | None = None
    account_id: str | None = None
    source_consumer_id: str | None = None
    consumer_id: str | None = None
    external_id: str | None = None
    mid: str | None = None
    has_ipn_url: bool = False
    has_redirect_url: bool = False


class RequestedItem(Struct, frozen=True):
    """An item as the request describes it; its prices, if there are any, take the place of the SKU's own."""

    title: str
    prices: tuple[Price, ...]
    extras: Mapping[str, Any] = {}


class RequestedPayment(Struct, frozen=True):
    """A payment as it was asked for: well formed, in the words of this house, its references not looked up yet."""

    merchant_id: int
    request_id: str
    claim: Claim | None
    source_kind: str
    #: The card and its security code; for a stored card the code may come alone.
    card: Card | None
    code: Cvv | None
    #: In the order of the references.
    items: tuple[RequestedItem, ...]
    external_id: str | None
    consumer: Mapping[str, Any]
    consumer_ip: str
    metadata: str
    ipn_url: str | None
    redirect_url: str | None
    asks_authentication: bool
    initiator: Initiator
    browser: BrowserData | None
    emulate_code: str | None
    mid: str | None = None
    endorsement: ExternalAuthentication | None = None
    receipt: ReceiptRequest | None = None
