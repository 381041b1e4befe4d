"""A link to a payment page: its terms, which never change, and where it stands, which its tries tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from tollhouse.catalog.model import Offset, Price
from tollhouse.kernel.money import Money
from tollhouse.notices.model import ReceiptRequest
from tollhouse.payments.model import Item, Payment, Status

if TYPE_CHECKING:
    from tollhouse.kernel.money import Currency

#: Cards that may be tried on one page. Card testers live from pages that take any number of them.
MAX_TRIES = 5

#: What stands for every country and for every method in rules for fees.
ANY = "ALL"


@dataclass(frozen=True, slots=True)
class FeeRule:
    """A fee of a kind, for a country (ISO 3166-1, three letters) or any, and for a method or any."""

    kind: str
    country: str
    method: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Fee:
    """A fee that is charged."""

    kind: str
    money: Money

    def to_price(self) -> Price:
        """Return the fee as a price that is due at once."""
        return Price(Offset(0, "d"), self.money, repeat=False)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a page sells, to whom and how, as it was when the page was made."""

    items: tuple[Item, ...]
    #: Of the request's consumer: what it said besides its ids.
    consumer: Mapping[str, Any] = field(default_factory=dict)
    #: The gateway's id; drawn, derived or looked up when the page was made, so that every try has the same consumer.
    consumer_id: str = ""
    external_id: str | None = None
    #: None: the buyer's own.
    consumer_ip: str | None = None
    metadata: str = "{}"
    ipn_url: str | None = None
    redirect_url: str | None = None
    fee_rules: tuple[FeeRule, ...] = ()
    #: Two letters, or None for the browser's.
    language: str | None = None
    asks_authentication: bool = False
    emulate_code: str | None = None
    mid: str | None = None
    receipt: ReceiptRequest | None = None

    @property
    def site_id(self) -> int:
        """The site whose page it is."""
        return self.items[0].site_id

    @property
    def currency(self) -> Currency:
        """The currency of the purchase: a schedule has one, and so has a bundle."""
        return self.items[0].prices[0].money.currency


class LinkState(Enum):
    """Where a link stands."""

    #: A card may be tried; the last one, if there was one, was declined.
    OPEN = "open"
    #: A try is under way.
    BUSY = "busy"
    PAID = "paid"
    #: As many cards were tried as may be.
    SPENT = "spent"
    EXPIRED = "expired"
    #: The merchant is disabled and sells no more.
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it was found, with its newest try."""

    merchant_id: int
    payment_id: int
    request_id: str
    terms: Terms
    created_at: datetime
    expires_at: datetime
    is_expired: bool
    is_merchant_active: bool
    merchant_time: datetime
    #: What the site says of its own looks: linkColor, logoBase64 and so on.
    looks: Mapping[str, Any]
    site_name: str
    site_redirect_url: str
    last: Payment | None

    @property
    def tries(self) -> int:
        """How many cards were tried."""
        return (self.last.page_try or 0) if self.last else 0

    @property
    def standing(self) -> LinkState:
        """Where the link stands. What is under way or paid stays so, however late it is."""
        if self.last is not None and self.last.status is not Status.FAIL:
            return LinkState.PAID if self.last.status is Status.SUCCESS else LinkState.BUSY
        if self.tries >= MAX_TRIES:
            return LinkState.SPENT
        if self.is_expired:
            return LinkState.EXPIRED
        return LinkState.OPEN if self.is_merchant_active else LinkState.CLOSED
