"""A payment: what the merchant requested, and its outcome.

A *payment* is everything under one `orderId`, a *transaction* one operation of it (`transactionId`), and an *attempt*
one request to an acquirer, with a reference of its own. `Payment` holds all three. It is frozen; `payments.lifecycle`
builds the next one.

The records here are structs of msgspec and not dataclasses: each payment builds and rebuilds several, and a struct of
forty fields is built four times as fast and rebuilt a hundred times as fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from tollhouse.acquirers.model import Initiator, Proof, Reason
from tollhouse.catalog.model import IpnFormat, Price
from tollhouse.kernel.card import Card, Cvv
from tollhouse.kernel.errors import RequestInProgress
from tollhouse.kernel.money import Money
from tollhouse.notices.model import Recipient
from tollhouse.payments.dispute_steps import Dispute
from tollhouse.vault.seal import Sealed

#: The name under which idempotency keys of payments are claimed.
OPERATION = "payment"
#: The same for the verification that gives a subscription another card.
CHANGE_OPERATION = "paymentAccount"


class Mode(StrEnum):
    """The kind of a transaction."""

    SALE = "sale"
    AUTH = "auth"
    CAPTURE = "capture"
    VOID = "void"
    CREDIT = "credit"
    CHARGEBACK = "chargeback"

    @property
    def is_first(self) -> bool:
        """Whether it is the first transaction of a payment. All others act on an earlier one."""
        return self is Mode.SALE or self is Mode.AUTH


class Status(StrEnum):
    """The status of a transaction, as the merchant sees it."""

    PENDING = "pending"
    SUCCESS = "success"
    #: After `success`: a bank transfer has arrived. No payment method reaches it yet.
    CONFIRMED = "confirmed"
    FAIL = "fail"


class AttemptState(StrEnum):
    """The state of an attempt. The transitions are in `payments.lifecycle`."""

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
        """Whether no further state follows."""
        return self not in OPEN_STATES


OPEN_STATES = frozenset({AttemptState.IN_FLIGHT, AttemptState.CHALLENGED, AttemptState.UNKNOWN, AttemptState.REVERSING})


class Cause(StrEnum):
    """The reason that an operation was begun."""

    REQUEST = "request"  # the merchant requested it
    SCHEDULE = "schedule"  # the price has a date of capture
    EXPIRY = "expiry"  # the authorization was not captured in time
    ISSUER = "issuer"  # the issuer decided


class Source(Struct, frozen=True):
    """The charged card without its secrets. `kind` is the paymentSource.type of the request."""

    kind: str
    brand: str
    masked_number: str
    expiry_month: int
    expiry_year: int
    account_id: UUID
    #: The request named a stored card.
    is_stored: bool
    #: The merchant has disabled this card.
    is_disabled: bool = False


class Attempt(Struct, frozen=True):
    """One request to an acquirer. It keeps the sealed card until it is final, so that any process can finish it."""

    number: int
    acquirer: str
    reference: str
    state: AttemptState
    card: Sealed | None
    fingerprint: bytes
    sent_at: datetime
    #: Deadline for sending the request, by `kernel.clock.boot_seconds`. Only the process that committed the attempt
    #: knows it: an attempt that was read back may not be sent.
    send_before: float = 0.0
    #: Real time at which this process got the response, if the response does not end the transaction.
    answered_at: datetime | None = None
    inquiries: int = 0
    response_code: str | None = None
    advice_code: str | None = None
    approval_code: str | None = None


class Item(Struct, frozen=True):
    """One sold item: an SKU by its name, or the description in the request. A bundle has several."""

    site_id: int
    sku_name: str | None
    title: str
    prices: tuple[Price, ...]
    #: Further fields of the request, as sent: domainName, action, xsell.
    extras: Mapping[str, Any] = {}


class Subscribing(Struct, frozen=True):
    """A subscription that starts when this payment is approved. Its schedule is that of one item."""

    subscription_id: int
    item: Item

    @property
    def prices(self) -> tuple[Price, ...]:
        """The schedule."""
        return self.item.prices


class Renewing(Struct, frozen=True):
    """The period of a subscription that a payment renews. `case` holds billing's own record of it."""

    subscription_id: int
    period: int
    number: int
    due_at: datetime
    #: The stored card of the subscription when the renewal began.
    account_id: UUID
    #: The record from which billing began the renewal; None after the payment was read back.
    case: Any = None


class SubscriptionSummary(Struct, frozen=True):
    """The state of a subscription, as responses show it."""

    subscription_id: int
    status: str
    cycle: int
    site_id: int
    consumer_id: str
    sku_name: str | None
    renewal_at: datetime | None
    cancel_at: datetime | None


class ExternalAuthentication(Struct, frozen=True):
    """The result of the merchant's own 3-D Secure server, or the exemption claimed instead.

    `status` is the transStatus of EMV 3DS; `proof` is present when it is Y or A.
    """

    status: str | None = None
    eci: str | None = None
    proof: Proof | None = None
    exemption: str | None = None


class Holding(Struct, frozen=True):
    """The number of days after which an authorization is captured, if ever, and after which it is released."""

    capture_after_days: int | None
    valid_days: int


class OriginalTransaction(Struct, frozen=True):
    """The transaction that an operation acts on, with the cause of the operation and the given reason."""

    transaction_id: int
    mode: Mode
    amount_minor: int
    cause: Cause = Cause.REQUEST
    reason: str | None = None


class Payment(Struct, frozen=True):
    """A payment with one of its transactions and that transaction's current attempt.

    The transaction is the first one (a sale or an authorization) or an operation, which has a `basis`.
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
    finished_at: datetime | None = None
    subscribing: tuple[Subscribing, ...] = ()
    #: The period that it renews.
    renewing: Renewing | None = None
    #: The subscription that gets this card if the verification is approved.
    changing: int | None = None
    #: The subscriptions that it concerns, as far as they were loaded.
    subscription_summaries: tuple[SubscriptionSummary, ...] = ()
    #: US dollars for one unit of its currency when the payment began, or None. All its operations use it.
    usd_per_unit: Decimal | None = None
    #: Equal for two requests of the same payment; None if the site has no protection against double clicks.
    double_click_digest: bytes | None = None
    #: Whether a soft decline leads to a challenge rather than to `fail` 1012.
    may_redirect: bool = True
    #: Whether the acquirer is called although authentication could not be performed (status U).
    proceed_without_3ds: bool = True
    #: The number of the try on a payment page, from 1; None if it was not paid on a page.
    page_try: int | None = None
    #: The acquirer account that the request named; no other is tried.
    mid: str | None = None
    #: Without its proof if it was read back: the proof went to the acquirer and is not stored.
    external_authentication: ExternalAuthentication | None = None
    #: The recipient of emails about this payment; None if none were requested, or there is no address.
    recipient: Recipient | None = None
    #: Only for an authorization that is captured later.
    holding: Holding | None = None
    #: Only for an operation.
    basis: OriginalTransaction | None = None
    #: Only for a chargeback.
    dispute: Dispute | None = None
    #: The rendered response, from which the event is built; empty if it was not rendered yet.
    rendered: bytes = b""
    #: The changes to subscriptions that its outcome makes, as billing computed them.
    subscription_changes: Any = None

    @property
    def title(self) -> str:
        """The title of the first item."""
        return self.items[0].title

    @property
    def sku_name(self) -> str | None:
        """The name of the first item's SKU, if it has one."""
        return self.items[0].sku_name

    def with_attempt(self, **changes: Any) -> Payment:
        """Return the payment with its attempt changed."""
        return replace(self, attempt=replace(self.attempt, **changes))


class PlaintextCard(Struct, frozen=True):
    """The card in plain text, for the duration of one request."""

    card: Card
    code: Cvv | None


class PageTry(Struct, frozen=True):
    """One try on a payment page. The page has one payment, which may be tried until one try succeeds."""

    payment_id: int
    number: int
    #: The subscription IDs that an earlier try reserved, in the order of the items.
    subscription_ids: tuple[int, ...] = ()


class ConcurrentChange(RequestInProgress):
    """The payment was not begun: a record that it depends on has changed since it was read."""


class BeginRows(StrEnum):
    """Rows of other packages that `begin_payments_v1` writes, by the name of their parameter."""

    SUBSCRIPTIONS = "subscriptions"
    RENEWALS = "renewals"


class BeginHook(Protocol):
    """Rows of another package that are written when a payment begins."""

    kind: BeginRows

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the rows of this payment, without their place in the batch. Pure."""
        ...


class SubscriptionForecast(Protocol):
    """A computation of the subscriptions after an outcome, before the outcome is written."""

    async def __call__(self, payment: Payment) -> Payment:
        """Return the payment with the changes to subscriptions, and with the subscriptions after them."""
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
    """Rows of another package that are written with the outcome of a transaction."""

    kind: FinishRows

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the rows that follow from this finished payment, without their place in the batch. Pure."""
        ...
