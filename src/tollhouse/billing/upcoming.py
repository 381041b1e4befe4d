"""Telling what will be charged and when: of a subscription, and of prices that nobody has signed up for yet. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tollhouse.billing.lifecycle import next_charge, take_next_prices
from tollhouse.billing.model import State
from tollhouse.billing.schedule import Charge, Plan, list_charges
from tollhouse.catalog.prices import sum_due_at_once
from tollhouse.kernel.money import Money

if TYPE_CHECKING:
    from tollhouse.billing.model import Subscription
    from tollhouse.catalog.model import Price

#: As many as one may ask for.
MOST_CHARGES = 366


def list_upcoming(subscription: Subscription, *, most: int) -> list[Charge]:
    """Return the charges that are still to come, as far as is planned: none after a cancellation takes effect.

    One that is under way is the first of them. Prices that were set meanwhile begin after it.
    """
    if not subscription.state.is_running:
        return []
    charges = _list_planned(subscription, most=most)
    ends_at = subscription.cancel_at
    return [charge for charge in charges if ends_at is None or charge.due_at < ends_at]


def find_next_try(subscription: Subscription) -> datetime | None:
    """Return when the next charge is tried, where that is later than it fell due: it failed before, or was missed.

    None where it is tried when it falls due, and where a new card is waited for.
    """
    charge = next_charge(subscription)
    at = subscription.charge_at
    if charge is None or at is None or not subscription.state.is_running or subscription.waits_for_account:
        return None
    is_late = at > charge.due_at or subscription.state is State.PAST_DUE
    return at if is_late else None


def _list_planned(subscription: Subscription, *, most: int) -> list[Charge]:
    under_way = next_charge(subscription)
    if subscription.next_prices is None or under_way is None:
        return list_charges(subscription.plan, subscription.next_period, most)
    paid = replace(subscription, next_period=subscription.next_period + 1, paid_until=under_way.covers_until)
    following = take_next_prices(paid)
    return [under_way, *list_charges(following.plan, following.next_period, most - 1)]


def preview(prices: Sequence[Price], at: datetime, *, most: int) -> tuple[Money, list[Charge]]:
    """Return what a sign-up at a time would charge at once, and the charges that would follow."""
    return sum_due_at_once(prices), list_charges(Plan(tuple(prices), at), 1, most)
