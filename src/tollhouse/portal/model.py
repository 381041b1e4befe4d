"""What the pages show, as records. None of it can open a card: numbers are masked where they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from tollhouse.catalog.model import Price
from tollhouse.history.model import HistoryEntry
from tollhouse.ipn.model import DeliveryEntry
from tollhouse.kernel.codes import Code
from tollhouse.kernel.money import Money
from tollhouse.payments.reading.public_names import CHARGEBACK_MODES


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page of the list ends; the next one begins after it."""

    created_at: datetime
    payment_id: int
    transaction_id: int


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """What a list is narrowed to; an empty text narrows nothing."""

    status: str = ""
    order: str = ""
    email: str = ""
    #: Days in UTC, both included: of the time that the list shows.
    since: date | None = None
    until: date | None = None

    @property
    def is_empty(self) -> bool:
        """Whether everything is asked for."""
        return self == PaymentFilter()

    @property
    def query(self) -> dict[str, str]:
        """The filter as the parameters of its page."""
        return {
            "status": self.status,
            "order": self.order,
            "email": self.email,
            "from": self.since.isoformat() if self.since else "",
            "to": self.until.isoformat() if self.until else "",
        }


@dataclass(frozen=True, slots=True)
class PaymentLine:
    """One line of the list."""

    payment_id: int
    transaction_id: int
    #: When its order was begun, in whose order the list is; when it was begun itself, and settled.
    created_at: datetime
    begun_at: datetime
    settled_at: datetime | None
    #: Its public names.
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
        """When its status became what it is."""
        return self.settled_at or self.begun_at

    @property
    def is_dispute(self) -> bool:
        """Whether it is a step of a dispute, whose status says which."""
        return self.mode in CHARGEBACK_MODES

    @property
    def cursor(self) -> Cursor:
        """Where the list goes on after this line."""
        return Cursor(self.created_at, self.payment_id, self.transaction_id)


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One try at an acquirer."""

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
    """One 3-D Secure authentication."""

    created_at: datetime
    state: str
    version: str
    trans_status: str | None
    status_reason: str | None
    eci: str | None
    ds_trans_id: str | None


@dataclass(frozen=True, slots=True)
class PaymentSheet:
    """All about one transaction."""

    line: PaymentLine
    #: Of an operation: what it acts on, and the reason that was given for it.
    parent_id: int | None
    given_reason: str
    #: Of a charge-back: what of it is beyond what was left of the payment.
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
    """An API key, of which only its end can be shown."""

    hint: str
    created_at: datetime
    expires_at: datetime | None
    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignInLine:
    """A try to sign in."""

    signed_in_at: datetime
    address: str
    is_accepted: bool
    email: str


@dataclass(frozen=True, slots=True)
class SkuLine:
    """A product with its schedule."""

    name: str
    title: str
    kind: str
    prices: tuple[Price, ...]


@dataclass(frozen=True, slots=True)
class SiteSheet:
    """A site with what it sells."""

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
