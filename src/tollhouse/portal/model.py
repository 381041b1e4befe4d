"""Records that the pages show. They contain no card data: numbers are masked before they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from tollhouse.catalog.model import Price
from tollhouse.history.build_timeline import HistoryEntry
from tollhouse.ipn.model import DeliveryEntry
from tollhouse.kernel.codes import Code
from tollhouse.kernel.money import Money
from tollhouse.payments.reading.public_names import CHARGEBACK_MODES


class Cursor(NamedTuple):
    """The position after the last row of a page of the list."""

    created_at: datetime
    payment_id: int
    transaction_id: int


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """Conditions on a list of payments; an empty text is no condition."""

    status: str = ""
    order: str = ""
    email: str = ""
    #: Days in UTC, both included, compared with the time that the list shows.
    since: date | None = None
    until: date | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there are no conditions."""
        return self == PaymentFilter()

    @property
    def query(self) -> dict[str, str]:
        """The filter as query parameters of the page."""
        return {
            "status": self.status,
            "order": self.order,
            "email": self.email,
            "from": self.since.isoformat() if self.since else "",
            "to": self.until.isoformat() if self.until else "",
        }


@dataclass(frozen=True, slots=True)
class PaymentLine:
    """A transaction in the list."""

    payment_id: int
    transaction_id: int
    #: When its payment began, which orders the list; when the transaction began, and when it finished.
    created_at: datetime
    begun_at: datetime
    finished_at: datetime | None
    #: The public names of its mode and status.
    mode: str
    status: str
    code: Code | None
    money: Money
    brand: str
    card_number: str
    email: str
    title: str

    @property
    def shown_at(self) -> datetime:
        """When its status last changed."""
        return self.finished_at or self.begun_at

    @property
    def is_dispute(self) -> bool:
        """Whether it is a step of a dispute; its status names the step."""
        return self.mode in CHARGEBACK_MODES

    @property
    def cursor(self) -> Cursor:
        """The position after this transaction."""
        return Cursor(self.created_at, self.payment_id, self.transaction_id)


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """An attempt at an acquirer."""

    number: int
    acquirer: str
    reference: str
    state: str
    sent_at: datetime
    response_code: str | None
    advice_code: str | None
    approval_code: str | None
    inquiries: int


@dataclass(frozen=True, slots=True)
class AuthenticationLine:
    """A 3-D Secure authentication."""

    created_at: datetime
    state: str
    version: str
    trans_status: str | None
    status_reason: str | None
    eci: str | None
    ds_trans_id: str | None


@dataclass(frozen=True, slots=True)
class PaymentSheet:
    """A transaction with everything that its page shows."""

    line: PaymentLine
    #: Of an operation: the transaction it acts on, and the reason given by the merchant.
    parent_id: int | None
    given_reason: str
    #: Of a chargeback: the part that exceeds the remaining amount of the payment.
    excess: Money | None
    site_id: int
    site_name: str
    sku_name: str
    descriptor: str
    consumer_id: str
    consumer: Mapping[str, Any]
    source: Mapping[str, Any]
    initiator: str
    reason: str
    request_id: str
    ipn_url: str
    redirect_url: str
    metadata: str
    attempts: tuple[AttemptLine, ...]
    authentications: tuple[AuthenticationLine, ...]
    deliveries: tuple[DeliveryEntry, ...]
    timeline: tuple[HistoryEntry, ...]


@dataclass(frozen=True, slots=True)
class KeyLine:
    """An API key, of which only the last characters are known."""

    hint: str
    created_at: datetime
    expires_at: datetime | None
    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignInLine:
    """An attempt to sign in."""

    signed_in_at: datetime
    address: str
    is_accepted: bool
    email: str


@dataclass(frozen=True, slots=True)
class SkuLine:
    """A SKU with its prices."""

    name: str
    title: str
    kind: str
    prices: tuple[Price, ...]


@dataclass(frozen=True, slots=True)
class SiteSheet:
    """A site with its SKUs."""

    site_id: int
    name: str
    ipn_url: str
    redirect_url: str
    descriptor: str
    three_ds: str
    ipn_format: str
    cors_enabled: bool
    delayed_capture: bool
    guards_double_clicks: bool
    is_enabled: bool
    skus: tuple[SkuLine, ...]
