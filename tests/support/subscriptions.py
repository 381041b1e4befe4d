"""Subscriptions of the pure rules: one as its first payment began it, and what happens to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec.structs import replace
from tests.support.shop import price

from tollhouse.billing import lifecycle
from tollhouse.billing.dunning import Policy
from tollhouse.billing.model import Decline, Subscription, SubscriptionContext, SubscriptionState
from tollhouse.billing.schedule import Plan
from tollhouse.catalog.model import Price
from tollhouse.kernel.card import Expiry

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
#: Of a card that is good for longer than any test goes.
EXPIRY = Expiry(12, 2099)
OTHER_ACCOUNT = UUID(int=2)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
FUNDS, STOLEN, EXPIRED_CARD, STOPPED, ALL_STOPPED = "5051", "5043", "5054", "5211", "5213"
EVERY_TEN_DAYS = (price(999), price(1999, "10d", repeat=True))
MONTHLY = (price(999), price(1999, "1m", repeat=True))
DAILY = (price(999), price(100, "1d", repeat=True))
DEARER = (price(2999, "10d", repeat=True),)
FREE = (price(0, "10d", repeat=True),)


def sign_up(*prices: Price, at: datetime = START, is_trial: bool = False) -> Subscription:
    """Return a subscription as its first payment began it."""
    recorded = Subscription(
        merchant_id=1, subscription_id=1, payment_id=1, site_id=1, consumer_id="c", account_id=UUID(int=1),
        sku_name=None, title="Premium", state=SubscriptionState.PENDING, plan=Plan(prices or EVERY_TEN_DAYS, at),
        next_period=1, tries=0, cycle=0, created_at=at, began_as_trial=is_trial, renewal_at=None,
        charge_at=None, charged_at=None, paid_until=None,
    )  # fmt: skip
    return lifecycle.begin(recorded, at, EXPIRY)


def seen(subscription: Subscription, now: datetime, **facts: Any) -> SubscriptionContext:
    """Return the case of a subscription at a time."""
    return SubscriptionContext(
        **{"subscription": subscription, "now": now, "is_charging": False, "policy": Policy((1, 3)), **facts}
    )


def decline(subscription: Subscription, at: datetime, code: str = FUNDS, **facts: Any) -> Subscription:
    """Return the subscription after one more try was declined."""
    tried = replace(subscription, tries=subscription.tries + 1)
    known = {"declined_tries": subscription.tries, **facts}
    return lifecycle.fail(seen(tried, at, **known), Decline(at, code, None, "visa"))


def cancel(subscription: Subscription, now: datetime, **requested: Any) -> Subscription:
    """Return the subscription as the merchant cancels it, at once unless the request has a time."""
    defaults = {"at": None, "at_next_rebill": False, "reason": None, "tells_consumer": False}
    return lifecycle.cancel(seen(subscription, now), **{**defaults, **requested})


def pay(subscription: Subscription, at: datetime) -> Subscription:
    """Return a subscription after its next period was paid, with a card that is good for long."""
    return lifecycle.pay(subscription, at, EXPIRY)


def switch(subscription: Subscription, at: datetime) -> Subscription:
    """Return a subscription with another card, which is good for long."""
    return lifecycle.switch_account(subscription, OTHER_ACCOUNT, at, EXPIRY)
