"""A subscription: what was agreed, where it stands in its schedule, and what was tried for which period.

A *period* is one charge after the sign-up, numbered from 1. A *try* is one payment for a period: when it is declined,
another may follow. `cycle` counts the periods that were paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

from msgspec import Struct

if TYPE_CHECKING:
    from tollhouse.billing.dunning import Policy
    from tollhouse.billing.schedule import Plan
    from tollhouse.catalog.model import Price


class State(StrEnum):
    """Where a subscription stands. The transitions are in `billing.lifecycle`."""

    PENDING = "pending"
    ACTIVE = "active"
    TRIAL = "trial"
    PAST_DUE = "past_due"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def is_running(self) -> bool:
        """Whether it is billed."""
        return self in RUNNING


RUNNING = frozenset({State.ACTIVE, State.TRIAL, State.PAST_DUE})


class End(StrEnum):
    """Why a subscription is over."""

    CANCELED = "canceled"  # by the merchant
    UNPAID = "unpaid"  # the retries of a renewal are over
    REFUSED = "refused"  # a renewal was declined in a way after which nothing may be tried
    REVOKED = "revoked"  # the cardholder has told the issuer to end it
    FINISHED = "finished"  # nothing was left to charge, and what was paid for is over


class Subscription(Struct, frozen=True):
    """A subscription. All times are the merchant's, in UTC."""

    merchant_id: int
    subscription_id: int
    #: The purchase that began it.
    payment_id: int
    site_id: int
    consumer_id: str
    account_id: UUID
    sku_name: str | None
    title: str
    state: State
    plan: Plan
    #: The period that is charged next, and how often that was tried.
    next_period: int
    tries: int
    cycle: int
    created_at: datetime
    began_as_trial: bool
    #: When the next period is due by the schedule; None where nothing is left to charge.
    renewal_at: datetime | None
    #: When its next try may be made; when it waits for a card or has nothing left to charge, when it expires.
    charge_at: datetime | None
    #: When it was charged last, and until when what was charged is good.
    charged_at: datetime | None
    paid_until: datetime | None
    #: It ends then, or has ended then, by the merchant's wish.
    cancel_at: datetime | None = None
    cancel_reason: str | None = None
    #: Whether the consumer is told by letter when it ends at `cancel_at`.
    tells_consumer: bool = False
    #: It is past due, and a new card is waited for.
    waits_for_account: bool = False
    is_revoked: bool = False
    ended_with: End | None = None
    #: Prices that take effect when what is under way is settled.
    next_prices: tuple[Price, ...] | None = None
    network_transaction_id: str | None = None
    #: When the account updater is asked about its card next; None: not before the card changes.
    check_card_at: datetime | None = None
    #: When its card was last approved for it: at the sign-up, a renewal, or the card's verification.
    approved_at: datetime | None = None

    @property
    def due_at(self) -> datetime | None:
        """When there is something to do with it, unless a charge is under way; None: never."""
        times = [each for each in (self.charge_at, self.cancel_at) if each is not None]
        return min(times, default=None) if self.state.is_running else None

    @property
    def key(self) -> tuple[int, int]:
        """By what it is found, and the order in which rows are locked."""
        return self.merchant_id, self.subscription_id


class SubscriptionContext(Struct, frozen=True):
    """A subscription with all that a rule needs to decide about it."""

    subscription: Subscription
    #: The merchant's time when it was read.
    now: datetime
    #: A charge is under way.
    is_charging: bool
    policy: Policy
    #: How far the merchant's time is ahead of the real one.
    clock_offset: timedelta = timedelta()
    #: Nothing is charged for a merchant who is disabled.
    is_merchant_active: bool = True
    #: The fencing token of whoever leased it last.
    lease: int | None = None
    #: Counts the changes of the subscription.
    version: int = 0
    #: When its next period was tried first, not counting what was no decline.
    first_tried_at: datetime | None = None
    #: How many tries for its next period were declined.
    declined_tries: int = 0
    #: The last try for its next period, if it failed on the card that the subscription has now.
    last_decline: Decline | None = None
    #: When its card was declined in the merchant's renewals lately, whoever the consumer, newest first.
    declines: Sequence[datetime] = ()
    #: When its card was declined for good in the merchant's renewals, whoever the consumer.
    refused_at: datetime | None = None


class Agreement(Struct, frozen=True):
    """What the payment that began a subscription said, and what holds for all its charges."""

    #: JSON, as it was sent.
    metadata: str
    ipn_url: str
    redirect_url: str
    consumer_ip: str
    external_id: str | None
    consumer: Mapping[str, Any]
    mid: str | None
    #: To whom letters go, as `notices.model.Addressee` has it; None where none was asked for.
    addressee: Mapping[str, Any] | None


class Decline(Struct, frozen=True):
    """How a try failed. `code` is the payment's; `advice_code` what the scheme's network added, if anything."""

    at: datetime
    code: str
    advice_code: str | None
    brand: str


HappeningKind = Literal[
    "subscription.canceled",
    "subscription.delayed",
    "subscription.recovered",
    "subscription.expired",
    "subscription.card_expiring",
]
#: It will end at a date.
DELAYED: Final = "subscription.delayed"
CANCELED: Final = "subscription.canceled"
RECOVERED: Final = "subscription.recovered"
EXPIRED: Final = "subscription.expired"
CARD_EXPIRING: Final = "subscription.card_expiring"


class LifecycleEvent(Struct, frozen=True):
    """Something that happened to a subscription without a payment; its site hears of it unless it does not want to."""

    kind: HappeningKind
    subscription: Subscription
    at: datetime
    request_id: str
    #: The code of the renewal that ended it, if its outcome is not written yet.
    declined_with: str | None = None
