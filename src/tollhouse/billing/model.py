"""Records of subscriptions: the agreement, the position in the schedule, and the attempts for each period.

A *period* is one charge after the sign-up, numbered from 1. An *attempt* is one payment for a period; after a decline a
retry may follow. `cycle` counts the paid periods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct

from tollhouse.billing.dunning import DunningRule, Policy, choose_rule
from tollhouse.billing.schedule import Plan
from tollhouse.catalog.model import Price


class SubscriptionState(StrEnum):
    """The state of a subscription. `billing.lifecycle` has the transitions."""

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


RUNNING = frozenset({SubscriptionState.ACTIVE, SubscriptionState.TRIAL, SubscriptionState.PAST_DUE})


class EndReason(StrEnum):
    """The reason why a subscription is over."""

    CANCELED = "canceled"  # by the merchant
    UNPAID = "unpaid"  # the retries of a renewal are over
    REFUSED = "refused"  # a decline of a renewal forbids further attempts
    REVOKED = "revoked"  # the cardholder stopped it at the issuer
    FINISHED = "finished"  # nothing was left to charge, and the paid time is over


class Subscription(Struct, frozen=True):
    """A subscription. All times are the merchant's, in UTC."""

    merchant_id: int
    subscription_id: int
    #: The payment that started it.
    payment_id: int
    site_id: int
    consumer_id: str
    account_id: UUID
    sku_name: str | None
    title: str
    state: SubscriptionState
    plan: Plan
    #: The period that is charged next, and the number of its attempts.
    next_period: int
    tries: int
    cycle: int
    created_at: datetime
    began_as_trial: bool
    #: When the next period is due by the schedule. None if nothing is left to charge.
    renewal_at: datetime | None
    #: When the next attempt may be made. If it waits for a card or has nothing left to charge, when it expires.
    charge_at: datetime | None
    #: The time of the last charge, and the end of the time that it paid for.
    charged_at: datetime | None
    paid_until: datetime | None
    #: When it ends, or ended, by the merchant's cancellation.
    cancel_at: datetime | None = None
    cancel_reason: str | None = None
    #: Whether the consumer gets an email when it ends at `cancel_at`.
    tells_consumer: bool = False
    #: It is past due and waits for a new card.
    waits_for_account: bool = False
    is_revoked: bool = False
    ended_with: EndReason | None = None
    #: Prices that take effect after the charge in progress.
    next_prices: tuple[Price, ...] | None = None
    network_transaction_id: str | None = None
    #: When the account updater is next queried about its card. None: not before the card changes.
    check_card_at: datetime | None = None
    #: When its card was last approved for it: at the sign-up, a renewal, or the card's verification.
    approved_at: datetime | None = None

    @property
    def due_at(self) -> datetime | None:
        """When it is due for processing, unless a charge is in progress. None: never."""
        times = [each for each in (self.charge_at, self.cancel_at) if each is not None]
        return min(times, default=None) if self.state.is_running else None

    @property
    def key(self) -> tuple[int, int]:
        """Its key, which also defines the order of row locks."""
        return self.merchant_id, self.subscription_id


class SubscriptionContext(Struct, frozen=True):
    """A subscription with all facts that the rules need."""

    subscription: Subscription
    #: The merchant's time when it was loaded.
    now: datetime
    #: A charge is in progress.
    is_charging: bool
    policy: Policy
    #: The offset of the merchant's time from real time.
    clock_offset: timedelta = timedelta()
    #: A disabled merchant charges nothing.
    is_merchant_active: bool = True
    #: The fencing token of the last lease.
    lease: int | None = None
    #: Counts the changes of the subscription.
    version: int = 0
    #: When its next period was first attempted, without failures that were no decline.
    first_tried_at: datetime | None = None
    #: The number of declined attempts for its next period.
    declined_tries: int = 0
    #: The last attempt for its next period, if it failed on the current card.
    last_decline: Decline | None = None
    #: Recent declines of its card in the merchant's renewals, for any consumer, newest first.
    declines: Sequence[datetime] = ()
    #: When its card was declined for good in the merchant's renewals, for any consumer.
    refused_at: datetime | None = None


class Agreement(Struct, frozen=True):
    """The terms of the payment that started a subscription, which apply to all its charges."""

    #: JSON, as it was sent.
    metadata: str
    ipn_url: str
    redirect_url: str
    consumer_ip: str
    external_id: str | None
    consumer: Mapping[str, Any]
    mid: str | None
    #: The recipient of emails, as in `notices.model.Recipient`. None if no email was requested.
    recipient: Mapping[str, Any] | None


class Decline(Struct, frozen=True):
    """The failure of an attempt. `code` is the payment's; `advice_code` is the scheme's, if any."""

    at: datetime
    code: str
    advice_code: str | None
    brand: str

    @property
    def rule(self) -> DunningRule:
        """The meaning of the failure for the card."""
        return choose_rule(self.code, self.advice_code)


LifecycleEventKind = Literal[
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
    """An event of a subscription without a payment. Its site is notified, unless it has disabled this."""

    kind: LifecycleEventKind
    subscription: Subscription
    at: datetime
    request_id: str
    #: The code of the renewal that ended it, if its outcome is not stored yet.
    declined_with: str | None = None
