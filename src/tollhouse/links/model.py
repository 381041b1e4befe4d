"""Records of links to payment pages. The terms of a link never change; its state follows from its attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from tollhouse.catalog.model import Offset, Price
from tollhouse.kernel.money import Currency, Money
from tollhouse.notices.model import ReceiptRequest
from tollhouse.payments.model import Item, Payment, Status

#: The number of cards that may be attempted on one page. Card testers abuse pages without a limit.
MAX_ATTEMPTS = 5

#: The wildcard for countries and methods in fee rules.
ANY = "ALL"


@dataclass(frozen=True, slots=True)
class FeeRule:
    """A fee of one kind, for a country (ISO 3166-1, three letters) or any, and for a method or any."""

    kind: str
    country: str
    method: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Fee:
    """A fee to be charged."""

    kind: str
    money: Money

    def to_price(self) -> Price:
        """Return the fee as a price that is due at once."""
        return Price(Offset(0, "d"), self.money, repeat=False)


@dataclass(frozen=True, slots=True)
class Terms:
    """The items, consumer and options of a page, fixed when the page was created."""

    items: tuple[Item, ...]
    #: The consumer's fields in the request, without IDs.
    consumer: Mapping[str, Any] = field(default_factory=dict)
    #: The gateway's ID: drawn, derived or found when the page was created, so that every attempt has the same consumer.
    consumer_id: str = ""
    external_id: str | None = None
    #: None: the address of the consumer's browser.
    consumer_ip: str | None = None
    metadata: str = "{}"
    ipn_url: str | None = None
    redirect_url: str | None = None
    fee_rules: tuple[FeeRule, ...] = ()
    #: Two letters, or None for the browser's language.
    language: str | None = None
    asks_authentication: bool = False
    emulate_code: str | None = None
    mid: str | None = None
    receipt: ReceiptRequest | None = None

    @property
    def site_id(self) -> int:
        """The site of the page."""
        return self.items[0].site_id

    @property
    def currency(self) -> Currency:
        """The currency of the payment. All its prices have the same one."""
        return self.items[0].prices[0].money.currency


class LinkState(Enum):
    """The state of a link."""

    #: Another card may be attempted; the previous one, if any, was declined.
    OPEN = "open"
    #: An attempt is in progress.
    BUSY = "busy"
    PAID = "paid"
    #: The maximum of cards was attempted.
    SPENT = "spent"
    EXPIRED = "expired"
    #: The merchant is disabled and no longer sells.
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Link:
    """A link with its newest attempt."""

    merchant_id: int
    payment_id: int
    request_id: str
    terms: Terms
    created_at: datetime
    expires_at: datetime
    is_expired: bool
    is_merchant_active: bool
    merchant_time: datetime
    #: The site's design: linkColor, logoBase64 and so on.
    design: Mapping[str, Any]
    site_name: str
    site_redirect_url: str
    last: Payment | None

    @property
    def attempts(self) -> int:
        """The number of attempted cards."""
        return (self.last.page_try or 0) if self.last else 0

    @property
    def state(self) -> LinkState:
        """The state of the link. An attempt in progress or a success is not affected by expiry."""
        if self.last is not None and self.last.status is not Status.FAIL:
            return LinkState.PAID if self.last.status is Status.SUCCESS else LinkState.BUSY
        if self.attempts >= MAX_ATTEMPTS:
            return LinkState.SPENT
        if self.is_expired:
            return LinkState.EXPIRED
        return LinkState.OPEN if self.is_merchant_active else LinkState.CLOSED
