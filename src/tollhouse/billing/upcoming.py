"""Telling what will be charged and when: of a subscription, and of prices that nobody has signed up for yet. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from tollhouse.billing.schedule import Charge, Plan, list_charges
from tollhouse.catalog.prices import sum_due_at_once
from tollhouse.kernel.money import Money

if TYPE_CHECKING:
    from tollhouse.billing.model import Subscription
    from tollhouse.catalog.model import Price

#: As many as one may ask for.
MOST_CHARGES = 366


def list_upcoming(subscription: Subscription, *, most: int) -> list[Charge]:
    """Return the charges that are still to come, as far as is planned: none after a cancellation takes effect."""
    if not subscription.state.is_running:
        return []
    charges = list_charges(subscription.plan, subscription.next_period, most)
    ends_at = subscription.cancel_at
    return [charge for charge in charges if ends_at is None or charge.due_at < ends_at]


def preview(prices: Sequence[Price], at: datetime, *, most: int) -> tuple[Money, list[Charge]]:
    """Return what a sign-up at a time would charge at once, and the charges that would follow."""
    return sum_due_at_once(prices), list_charges(Plan(tuple(prices), at), 1, most)
