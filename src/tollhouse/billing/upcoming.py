"""List what will be charged and when: of a subscription, and of prices that nobody has signed up for yet. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from tollhouse.billing.lifecycle import end_what_is_over, next_charge, owes_nothing, pay, skip_free_period
from tollhouse.billing.model import Subscription, SubscriptionContext
from tollhouse.billing.schedule import Charge, Plan, list_charges
from tollhouse.catalog.prices import sum_due_at_once
from tollhouse.kernel.card import Expiry
from tollhouse.kernel.clock import floor_second
from tollhouse.kernel.money import Money

if TYPE_CHECKING:
    from tollhouse.catalog.model import Price

#: As many as one may ask for.
MAX_CHARGES = 366
#: The dates of charges do not depend on when the card expires.
LATE_EXPIRY = Expiry(12, 2099)


class Upcoming(Struct, frozen=True):
    """A charge that is still to come."""

    charge: Charge
    #: When it is made, if nothing changes; None where it waits, or is under way.
    at: datetime | None
    #: The thing that has to change before it is made, and until when it waits: then the subscription expires.
    waits_for: Literal["paymentAccount", "merchant"] | None = None
    waits_until: datetime | None = None


def list_upcoming(case: SubscriptionContext, *, most: int) -> list[Upcoming]:
    """Return the charges that are still to come, if nothing changes: none after a cancellation takes effect.

    One that is under way is the first of them. One that waits is the last. Each is followed by the rules by which it
    will be charged, so that what was missed is listed at the times at which it is caught up with.
    """
    if not case.subscription.state.is_running:
        return []
    listed: list[Upcoming] = []
    if case.is_charging and (charge := next_charge(case.subscription)) is not None:
        listed.append(Upcoming(charge, None))
        case = replace(case, subscription=pay(case.subscription, case.now, LATE_EXPIRY), is_charging=False)
    while len(listed) < most and (upcoming := _find_next(case)) is not None:
        listed.append(upcoming)
        if upcoming.at is None:
            break
        case = replace(case, subscription=_follow(case, upcoming.at), now=upcoming.at)
    return listed


def _find_next(case: SubscriptionContext) -> Upcoming | None:
    """Return the next charge, or None where the subscription ends before."""
    subscription, charge = case.subscription, next_charge(case.subscription)
    if charge is None or subscription.charge_at is None or subscription.is_revoked:
        return None
    if not case.is_merchant_active:
        return Upcoming(charge, None, "merchant")
    at = max(subscription.charge_at, floor_second(case.now))
    is_cancelled = subscription.cancel_at is not None and subscription.cancel_at <= at
    if subscription.waits_for_account:
        until = subscription.cancel_at if is_cancelled else subscription.charge_at
        return Upcoming(charge, None, "paymentAccount", until)
    if is_cancelled or end_what_is_over(replace(case, now=at)) is not None:
        return None
    return Upcoming(charge, at)


def _follow(case: SubscriptionContext, at: datetime) -> Subscription:
    """Return the subscription after its next charge."""
    if owes_nothing(case.subscription):
        return skip_free_period(replace(case, now=at))
    return pay(case.subscription, at, LATE_EXPIRY)


def preview(prices: Sequence[Price], at: datetime, *, most: int) -> tuple[Money, list[Charge]]:
    """Return what a sign-up at a time would charge at once, and the charges that would follow."""
    return sum_due_at_once(prices), list_charges(Plan(tuple(prices), floor_second(at)), 1, most)
