"""List future charges and their times, of a subscription or of prices before a sign-up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tollhouse.billing.lifecycle import end_what_is_over, next_charge, owes_nothing, pay, skip_free_period
from tollhouse.billing.model import Subscription, SubscriptionContext
from tollhouse.billing.schedule import Charge, Plan, list_charges
from tollhouse.catalog.model import Price
from tollhouse.catalog.prices import sum_due_at_once
from tollhouse.kernel.card import Expiry
from tollhouse.kernel.clock import floor_second
from tollhouse.kernel.money import Money

#: The maximum of listed charges.
MAX_CHARGES = 366
#: The dates of charges do not depend on the card's expiry.
LATE_EXPIRY = Expiry(12, 2099)


class Upcoming(Struct, frozen=True):
    """A future charge."""

    charge: Charge
    #: When it is made, if nothing changes. None if it waits or is in progress.
    at: datetime | None
    #: The condition for the charge, and the time until which it waits: then the subscription expires.
    waits_for: Literal["card", "merchant"] | None = None
    waits_until: datetime | None = None


def list_upcoming(case: SubscriptionContext, *, limit: int) -> list[Upcoming]:
    """Return the future charges, if nothing changes: none after a cancellation takes effect.

    A charge in progress is the first. A waiting one is the last. Each follows from the rules by which it will be
    charged, so missed charges are listed at the times of their catch-up.
    """
    if not case.subscription.state.is_running:
        return []
    listed: list[Upcoming] = []
    if case.is_charging and (charge := next_charge(case.subscription)) is not None:
        listed.append(Upcoming(charge, None))
        case = replace(case, subscription=pay(case.subscription, case.now, LATE_EXPIRY), is_charging=False)
    while len(listed) < limit and (upcoming := _find_next(case)) is not None:
        listed.append(upcoming)
        if upcoming.at is None:
            break
        case = replace(case, subscription=_follow(case, upcoming.at), now=upcoming.at)
    return listed


def _find_next(case: SubscriptionContext) -> Upcoming | None:
    """Return the next charge, or None if the subscription ends before."""
    subscription, charge = case.subscription, next_charge(case.subscription)
    if charge is None or subscription.charge_at is None or subscription.is_revoked:
        return None
    if not case.is_merchant_active:
        return Upcoming(charge, None, "merchant")
    at = max(subscription.charge_at, floor_second(case.now))
    is_cancelled = subscription.cancel_at is not None and subscription.cancel_at <= at
    if subscription.waits_for_account:
        until = subscription.cancel_at if is_cancelled else subscription.charge_at
        return Upcoming(charge, None, "card", until)
    if is_cancelled or end_what_is_over(replace(case, now=at)) is not None:
        return None
    return Upcoming(charge, at)


def _follow(case: SubscriptionContext, at: datetime) -> Subscription:
    """Return the subscription after its next charge."""
    if owes_nothing(case.subscription):
        return skip_free_period(replace(case, now=at))
    return pay(case.subscription, at, LATE_EXPIRY)


def preview(prices: Sequence[Price], at: datetime, *, limit: int) -> tuple[Money, list[Charge]]:
    """Return the charges of a sign-up at a time: those due at once, and the following ones."""
    return sum_due_at_once(prices), list_charges(Plan(tuple(prices), floor_second(at)), 1, limit)
