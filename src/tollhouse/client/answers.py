"""Responses of the API for callers of this client.

Names are those of the API in Python's spelling. Unknown fields of a newer gateway are ignored, missing fields of an
older one have defaults; amounts are exact decimals.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

#: The only code of an approval. A pending payment has it too, with the status `pending`.
APPROVED = "0"


class ApiResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The base of all responses."""


class TimestampData(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """A moment in three forms."""

    date_time: str
    timezone: str
    unix_time: str | int


class Token(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """A card for one payment. `expire_at` is Unix time in seconds."""

    token: str
    expire_at: int


class SourceData(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """The card that paid, with its number masked."""

    method: str = "card"
    number: str = ""
    brand: str = ""
    payment_account_id: str = ""
    expiration_month: int | None = None
    expiration_year: int | None = None
    disabled: bool = False


class PaymentData(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """One transaction of an order, with its `mode` and `status`.

    `action` groups the modes: `charge` (`sale`, `auth`, `settle`), `credit` (`refund`, `void`) and `chargeback`, whose
    five modes have statuses of their own. `cancel` concerns a subscription and moves no money. `parent_transaction_id`
    names the transaction that an operation acts on.
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
    source: SourceData | None = None
    timestamp: TimestampData | None = None

    @property
    def is_approved(self) -> bool:
        """Whether the transaction succeeded. A pending payment has not; its callback reports the outcome."""
        return self.status in {"success", "confirmed"} and self.code == APPROVED

    @property
    def is_pending(self) -> bool:
        """Whether the outcome is pending."""
        return self.status == "pending"

    @property
    def redirect_url(self) -> str | None:
        """The URL to which the cardholder must be sent now, if any."""
        return self.url if self.action == "redirect" else None


class ConsumerData(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """A consumer. `id` is the gateway's own and can be the source of later payments."""

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
    created_at: TimestampData | None = None
    updated_at: TimestampData | None = None


class SubscriptionData(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """A subscription. Dates are `YYYY-MM-DD hh:mm:ss` in UTC."""

    id: str
    status: str
    cycle: int = 0
    renewal_date: str | None = None
    cancel_date: str | None = None
    sku_name: str | None = None
    site_id: str | None = None
    consumer_id: str | None = None
    #: The time of an event about a subscription without a payment.
    event_time: str | None = None


class UpcomingCharge(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """A future charge of a subscription. Its dates are in UTC; it pays until `covers_until`."""

    period: int
    date: str
    amount: Decimal
    currency: str
    covers_until: str
    next_try: str | None = None


class UpcomingCharges(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """The future charges of a subscription, in order."""

    data: list[UpcomingCharge]


class Preview(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """The charges of a sign-up: those that are due at once, and those that follow."""

    at: str
    amount: Decimal
    currency: str
    data: list[UpcomingCharge]


class PaymentResponse(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """The response to a payment, to an operation on one, and to a query for either."""

    payment: PaymentData
    consumer: ConsumerData
    subscription: SubscriptionData | None = None
    subscriptions: list[SubscriptionData] = []
    metadata: Any = None


class PaymentPage(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """A page on which a consumer pays, once."""

    url: str
    code: str | int | None = None


class SiteData(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """A shop of a merchant."""

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


class PriceData(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """One charge of a schedule."""

    amount: Decimal
    currency: str
    offset: str
    repeat: bool | int = False


class SkuData(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """An item for sale. `price` is an amount for one-time SKUs and a schedule for subscriptions."""

    name: str
    site_id: str
    title: str
    type: str = ""
    external_id: str = ""
    price: Decimal | list[PriceData] | None = None
    currency: str | None = None
    show_on_payment_page: bool = True
    created_at: str = ""
    updated_at: str = ""


class PaymentAccount(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """A stored card."""

    payment_account_id: str
    method: str = "card"
    number: str = ""
    brand: str = ""
    expiration_month: str | int | None = None
    expiration_year: str | int | None = None
    disabled: bool = False


class TestData(ApiResponse, frozen=True, kw_only=True, rename="camel"):
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


class ListPosition(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """The size of a list, and the position of this page in it."""

    total: int
    offset: int
    limit: int


class TestDataList(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """Test data, newest first."""

    data: list[TestData]
    meta: ListPosition


class RateData(ApiResponse, frozen=True, kw_only=True):
    """The value of a currency in US dollars."""

    iso3: str
    usd_per_unit: Decimal = msgspec.field(name="usdPerUnit")
    unit_per_usd: Decimal = msgspec.field(name="unitPerUsd")


class IpnRecord(ApiResponse, frozen=True, kw_only=True, rename="camel"):
    """One delivery attempt of a callback."""

    url: str | None = None
    request: str | None = None
    response: str | None = None
    order_id: str | None = None
    transaction_id: str | None = None
    exec_time: str | None = None
    http_code: str | None = None
    error: str | None = None
    attempt_number: int = 0
