"""A payment, from what the merchant asked to what became of it.

A *payment* is one purchase (`orderId`), a *transaction* one operation on it (`transactionId`), an *attempt* one try
at an acquirer with a reference of its own. `Payment` is the three together; it is frozen, and `payments.lifecycle`
makes the next one.

The records here are structs of msgspec and no dataclasses: each payment makes and remakes several, and a struct of
forty fields is made four times as fast and remade a hundred times as fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from tollhouse.acquirers.model import Initiator, Proof, Reason
from tollhouse.kernel.card import Card, Cvv
from tollhouse.kernel.money import Money
from tollhouse.payments.dispute_steps import Dispute

if TYPE_CHECKING:
    from tollhouse.catalog.model import IpnFormat, Price
    from tollhouse.notices.model import Recipient
    from tollhouse.vault.seal import Sealed

#: The operation of a payment among the operations that take an X-Request-ID.
OPERATION = "payment"
#: The same of the verification that puts another card on a subscription.
CHANGE_OPERATION = "paymentAccount"


class Mode(StrEnum):
    """What a transaction does."""

    SALE = "sale"
    AUTH = "auth"
    CAPTURE = "capture"
    VOID = "void"
    CREDIT = "credit"
    CHARGEBACK = "chargeback"

    @property
    def is_first(self) -> bool:
        """Whether it begins a purchase. All others act on one that is there."""
        return self in {Mode.SALE, Mode.AUTH}


class Status(StrEnum):
    """Where a transaction stands, as the merchant sees it."""

    PENDING = "pending"
    SUCCESS = "success"
    #: Of a bank transfer whose money has arrived, after `success`. No method reaches it yet.
    CONFIRMED = "confirmed"
    FAIL = "fail"


class AttemptState(StrEnum):
    """Where an attempt stands at the acquirer. The transitions are in `payments.lifecycle`."""

    IN_FLIGHT = "in_flight"
    CHALLENGED = "challenged"
    UNKNOWN = "unknown"
    REVERSING = "reversing"
    APPROVED = "approved"
    DECLINED = "declined"
    NOT_SENT = "not_sent"
    REVERSED = "reversed"

    @property
    def is_final(self) -> bool:
        """Whether nothing can come after it."""
        return self not in OPEN_STATES


OPEN_STATES = frozenset({AttemptState.IN_FLIGHT, AttemptState.CHALLENGED, AttemptState.UNKNOWN, AttemptState.REVERSING})


class Cause(StrEnum):
    """Why an operation was begun."""

    REQUEST = "request"  # the merchant asked for it
    SCHEDULE = "schedule"  # the price said when to capture
    EXPIRY = "expiry"  # nobody captured in time
    ISSUER = "issuer"  # the issuer decided it


class Source(Struct, frozen=True):
    """The card that pays, as far as it may be shown. `kind` is the paymentSource.type of the request."""

    kind: str
    brand: str
    masked_number: str
    expiry_month: int
    expiry_year: int
    account_id: UUID
    #: A stored account was named; its card is already kept.
    is_stored: bool
    #: The account of this card may be paid with no more, as far as is known when this was read.
    is_disabled: bool = False


class Attempt(Struct, frozen=True):
    """One try at an acquirer. The sealed card is with it until the try is final, so that anybody can finish it."""

    number: int
    acquirer: str
    reference: str
    state: AttemptState
    card: Sealed | None
    fingerprint: bytes
    sent_at: datetime
    #: Until when the request may leave, by `kernel.clock.boot_seconds`. Only the process that committed the intention
    #: knows it: an attempt that was read back may not be sent.
    send_before: float = 0.0
    #: When the answer came that this process has, in real time, where it does not end the transaction.
    answered_at: datetime | None = None
    inquiries: int = 0
    response_code: str | None = None
    advice_code: str | None = None
    approval_code: str | None = None


class Item(Struct, frozen=True):
    """One thing that a purchase is of: a SKU by its name, or what the request describes. A bundle has several."""

    site_id: int
    sku_name: str | None
    title: str
    prices: tuple[Price, ...]
    #: What else the request says of it, as it was sent: domainName, action, xsell.
    extras: Mapping[str, Any] = {}


class Subscribing(Struct, frozen=True):
    """A subscription that the approval of this payment starts, by the schedule of one of its items."""

    subscription_id: int
    item: Item

    @property
    def prices(self) -> tuple[Price, ...]:
        """The schedule."""
        return self.item.prices


class Renewing(Struct, frozen=True):
    """The period of a subscription that a payment is a try for. Whoever bills has more to say about it: `case`."""

    subscription_id: int
    period: int
    number: int
    due_at: datetime
    #: The card that the subscription had then, by the name that it has there.
    account_id: UUID
    #: What billing knew when it began the try, for as long as this process has it in hand.
    case: Any = None


class SubscriptionSummary(Struct, frozen=True):
    """Where a subscription stands, as answers tell it."""

    subscription_id: int
    status: str
    cycle: int
    site_id: int
    consumer_id: str
    sku_name: str | None
    renewal_at: datetime | None
    cancel_at: datetime | None


class ExternalAuthentication(Struct, frozen=True):
    """What the merchant's own 3-D Secure server found, or the exemption that was claimed in its place.

    `status` is the transStatus of EMV 3DS; `proof` is there when it is Y or A.
    """

    status: str | None = None
    eci: str | None = None
    proof: Proof | None = None
    exemption: str | None = None


class Holding(Struct, frozen=True):
    """How long an authorization stays open: captured after so many days, if at all, and released after so many."""

    capture_after_days: int | None
    valid_days: int


class OriginalTransaction(Struct, frozen=True):
    """What an operation acts on, why it was begun, and the reason that was given."""

    transaction_id: int
    mode: Mode
    amount_minor: int
    cause: Cause = Cause.REQUEST
    reason: str | None = None


class Payment(Struct, frozen=True):
    """A payment with one of its transactions and the attempt under way.

    The transaction is the first one, a sale or an authorization, or an operation on it, which has a `basis`.
    """

    merchant_id: int
    payment_id: int
    transaction_id: int
    site_id: int
    descriptor: str
    consumer_id: str
    external_id: str | None
    consumer: Mapping[str, Any]
    items: tuple[Item, ...]
    metadata: str
    ipn_url: str
    ipn_format: IpnFormat
    redirect_url: str
    request_id: str
    mode: Mode
    status: Status
    money: Money
    source: Source
    initiator: Initiator
    reason: Reason
    consumer_ip: str
    emulate_code: str | None
    created_at: datetime
    attempt: Attempt
    code: str | None = None
    network_transaction_id: str | None = None
    settled_at: datetime | None = None
    subscribing: tuple[Subscribing, ...] = ()
    #: The subscription that it is a try to renew.
    renewing: Renewing | None = None
    #: The subscription that has another card once this verification is approved.
    changing: int | None = None
    #: Where the subscriptions stand that it concerns, as far as that was looked up.
    standings: tuple[SubscriptionSummary, ...] = ()
    #: US dollars for one unit of its currency when the purchase began, or None. It holds for all its operations.
    usd_per_unit: Decimal | None = None
    #: Equal for two requests that are the same purchase; None where the site does not guard against double clicks.
    double_click_digest: bytes | None = None
    #: Whether a soft decline leads to a challenge rather than to `fail` 1012.
    may_redirect: bool = True
    #: Whether it goes on when authentication could not be performed (status U).
    proceed_without_3ds: bool = True
    #: Which try of a payment page's purchase this is, from 1; None for what was not paid on a page.
    page_try: int | None = None
    #: The merchant account that the request named; then no other is asked.
    mid: str | None = None
    #: Without its proof once it was read back: that went to the acquirer and is kept nowhere.
    endorsement: ExternalAuthentication | None = None
    #: To whom letters about this purchase go; None where none was asked for, or there is no address.
    addressee: Recipient | None = None
    #: Of an authorization that is captured later.
    holding: Holding | None = None
    #: Of an operation: what it acts on.
    basis: OriginalTransaction | None = None
    #: Of a charge-back.
    dispute: Dispute | None = None
    #: The answer, where it was written already: the event is made from it.
    rendered: bytes = b""
    #: The changes to subscriptions that its outcome makes, as billing computed them.
    subscription_changes: Any = None

    @property
    def title(self) -> str:
        """What was bought, in words; of a bundle, its first item."""
        return self.items[0].title

    @property
    def sku_name(self) -> str | None:
        """The name of the product, if it has one; of a bundle, its first item's."""
        return self.items[0].sku_name

    def with_attempt(self, **changes: Any) -> Payment:
        """Return the payment with its attempt changed."""
        return replace(self, attempt=replace(self.attempt, **changes))


class PlaintextCard(Struct, frozen=True):
    """The card in the clear, for as long as one request lives."""

    card: Card
    code: Cvv | None


class PageTry(Struct, frozen=True):
    """One try of a payment page: the purchase was named when the page was made, and may be tried until one succeeds."""

    payment_id: int
    number: int
    #: Those that an earlier try would have started, in the order of the items.
    subscription_ids: tuple[int, ...] = ()


class ConcurrentChange(ValueError):
    """An intention is not to be written: what it rests on has changed since it was read."""


class BeginRows(StrEnum):
    """Rows of other packages that `begin_payments_v1` writes, by the name of their parameter."""

    SUBSCRIPTIONS = "subscriptions"
    RENEWALS = "renewals"


class BeginHook(Protocol):
    """Rows that are written with a payment that begins, by a package that `payments` does not know."""

    kind: BeginRows

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the rows of this payment, without their place in the batch. Pure."""
        ...


class SubscriptionForecast(Protocol):
    """Computes, before an outcome is written, what it makes of the subscriptions that it concerns."""

    async def __call__(self, payment: Payment) -> Payment:
        """Return the payment with its outlook, and with its subscriptions as they will be."""
        ...


class FinishRows(StrEnum):
    """Rows of other packages that `finish_payments_v1` writes, by the name of their parameter."""

    CARDS = "cards"
    LAST_ACCOUNTS = "last_accounts"
    SUBSCRIPTIONS = "subscriptions"
    FORGOTTEN_SUBSCRIPTIONS = "forgotten"
    RENEWALS = "renewals"
    ENTRIES = "entries"
    HOLDS = "holds"
    EVENTS = "events"
    EMAILS = "emails"
    DECLINES = "declines"


class FinishHook(Protocol):
    """Rows that are written with the outcome of a transaction, by a package that `payments` does not know."""

    kind: FinishRows

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the rows that follow from this finished payment, without their place in the batch. Pure."""
        ...
