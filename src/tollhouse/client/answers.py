"""What the API answers, as its callers read it.

Names are those of the wire in Python's spelling. What a newer gateway adds is ignored, what an older one lacks has a
default; amounts are exact decimals.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

#: The only code that approves; also that of an outcome that is open, whose status says `pending`.
APPROVED = "0"


class Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What all answers share."""


class Timestamp(Answer, frozen=True, kw_only=True, rename="camel"):
    """A moment in three forms."""

    date_time: str
    timezone: str
    unix_time: str | int


class Token(Answer, frozen=True, kw_only=True, rename="camel"):
    """A card for one payment. `expire_at` is Unix time in seconds."""

    token: str
    expire_at: int


class Source(Answer, frozen=True, kw_only=True, rename="camel"):
    """The card that paid, as far as it may be shown."""

    method: str = "card"
    number: str = ""
    brand: str = ""
    payment_account_id: str = ""
    expiration_month: int | None = None
    expiration_year: int | None = None
    disabled: bool = False


class Payment(Answer, frozen=True, kw_only=True, rename="camel"):
    """One transaction of an order: `mode` says which, `status` how it went.

    Money goes out and comes back by `action`: `charge` (`sale`, `auth`, `settle`), `credit` (`refund`, `void`) and
    `chargeback`, whose five modes have statuses of their own. `cancel` is about a subscription and moves nothing.
    `parent_transaction_id` names the transaction that was acted upon.
    """

    transaction_id: str
    order_id: str
    status: str
    code: str
    description: str = ""
    action: str = "charge"
    url: str | None = None
    mode: str = "sale"
    code_category: int | None = None
    amount: Decimal = Decimal(0)
    excess_amount: Decimal | None = None
    reason: str | None = None
    parent_transaction_id: str | None = None
    currency: str = ""
    amount_usd: Decimal | None = None
    descriptor: str = ""
    api_payment_source: str = ""
    source: Source | None = None
    timestamp: Timestamp | None = None

    @property
    def is_approved(self) -> bool:
        """Whether it was done: the money is sure. A pending payment is not: its callback tells."""
        return self.status in {"success", "confirmed"} and self.code == APPROVED

    @property
    def is_pending(self) -> bool:
        """Whether the outcome is open."""
        return self.status == "pending"

    @property
    def redirect_url(self) -> str | None:
        """Where to send the cardholder now, if anywhere."""
        return self.url if self.action == "redirect" else None


class Consumer(Answer, frozen=True, kw_only=True, rename="camel"):
    """Who paid. `id` is the gateway's own and good as a source of later payments."""

    id: str = ""
    external_id: str | None = None
    username: str | None = None
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    birthday: str | None = None
    phone: str | None = None
    country: str | None = None
    state: str | None = None
    city: str | None = None
    address: str | None = None
    zip: str | None = None
    group_id: str | None = None
    blocked: bool = False
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None


class Subscription(Answer, frozen=True, kw_only=True, rename="camel"):
    """A subscription. Dates are `YYYY-MM-DD hh:mm:ss` in UTC."""

    id: str
    status: str
    cycle: int = 0
    renewal_date: str | None = None
    cancel_date: str | None = None
    sku_name: str | None = None
    site_id: str | None = None
    consumer_id: str | None = None
    #: In events about a subscription without a payment: when it happened.
    event_time: str | None = None


class Charge(Answer, frozen=True, kw_only=True, rename="camel"):
    """A charge of a subscription that is to come. Its dates are in UTC; it pays until `covers_until`."""

    period: int
    date: str
    amount: Decimal
    currency: str
    covers_until: str
    next_try: str | None = None


class Upcoming(Answer, frozen=True, kw_only=True, rename="camel"):
    """What a subscription will charge, oldest first."""

    data: list[Charge]


class Preview(Answer, frozen=True, kw_only=True, rename="camel"):
    """What a sign-up at a time would charge at once, and what would follow."""

    at: str
    amount: Decimal
    currency: str
    data: list[Charge]


class PaymentAnswer(Answer, frozen=True, kw_only=True, rename="camel"):
    """The answer to a payment, to an operation on one, and to a look at either."""

    payment: Payment
    consumer: Consumer
    subscription: Subscription | None = None
    subscriptions: list[Subscription] = []
    metadata: Any = None


class Event(Answer, frozen=True, kw_only=True, rename="camel"):
    """Something that happened, as its callback tells it. Without a payment, `event` says what it is."""

    event: str | None = None
    payment: Payment | None = None
    consumer: Consumer | None = None
    subscription: Subscription | None = None
    metadata: Any = None
    timestamp: Timestamp | None = None


class PaymentPage(Answer, frozen=True, kw_only=True, rename="camel"):
    """Where a buyer pays, once."""

    url: str
    code: str | int | None = None


class Site(Answer, frozen=True, kw_only=True, rename="camel"):
    """Where a merchant sells."""

    id: str
    name: str
    external_id: str = ""
    ipn_url: str = ""
    redirect_url: str = ""
    created_at: str = ""
    updated_at: str = ""
    status: bool = True
    cors_enabled: bool = False
    subscription_events: bool = True
    extra_events: list[str] = []


class Price(Answer, frozen=True, kw_only=True, rename="camel"):
    """One charge of a schedule."""

    amount: Decimal
    currency: str
    offset: str
    repeat: bool | int = False


class Sku(Answer, frozen=True, kw_only=True, rename="camel"):
    """What is sold. `price` is an amount for one-time products and a schedule for subscriptions."""

    name: str
    site_id: str
    title: str
    type: str = ""
    external_id: str = ""
    price: Decimal | list[Price] | None = None
    currency: str | None = None
    show_on_payment_page: bool = True
    created_at: str = ""
    updated_at: str = ""


class PaymentAccount(Answer, frozen=True, kw_only=True, rename="camel"):
    """A stored card."""

    payment_account_id: str
    method: str = "card"
    number: str = ""
    brand: str = ""
    expiration_month: str | int | None = None
    expiration_year: str | int | None = None
    disabled: bool = False


class TestData(Answer, frozen=True, kw_only=True, rename="camel"):
    """A card that exists in stage only."""

    id: int | str
    type: str
    number: str
    balance: Decimal | None = None
    currency: str | None = None
    blocked: bool = False
    expired: bool = False
    emulate3ds: bool = False
    allowed_ips: list[str] = []
    transactions: int = 0
    comment: str | None = None


class Page(Answer, frozen=True, kw_only=True, rename="camel"):
    """How much there is of a list, and which part of it this is."""

    total: int
    offset: int
    limit: int


class TestDataList(Answer, frozen=True, kw_only=True, rename="camel"):
    """Test data, newest first."""

    data: list[TestData]
    meta: Page


class Rate(Answer, frozen=True, kw_only=True):
    """What a currency is worth."""

    iso3: str
    usd_per_unit: Decimal = msgspec.field(name="usdPerUnit")
    unit_per_usd: Decimal = msgspec.field(name="unitPerUsd")


class IpnRecord(Answer, frozen=True, kw_only=True, rename="camel"):
    """One attempt to deliver a callback."""

    url: str | None = None
    request: str | None = None
    response: str | None = None
    order_id: str | None = None
    transaction_id: str | None = None
    exec_time: str | None = None
    http_code: str | None = None
    error: str | None = None
    attempt_number: int = 0
