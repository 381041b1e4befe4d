"""Cancel a subscription: at once, at a date, or when the next charge is due; and recover it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from tollhouse.billing import lifecycle
from tollhouse.billing.changes.change import change_subscription
from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.billing.model import CANCELED, DELAYED, RECOVERED, LifecycleEventKind, Subscription, SubscriptionState
from tollhouse.billing.store import Key


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The requested end of a subscription. `at` is in UTC; without it and `at_next_rebill` it ends at once."""

    at: datetime | None = None
    at_next_rebill: bool = False
    reason: str | None = None
    #: Whether the consumer gets an email.
    tells_consumer: bool = False


async def cancel(billing: BillingDependencies, key: Key, request: Cancellation, *, request_id: str) -> Subscription:
    """Cancel a subscription, and return it. Raises NotFound, and Invalid for an expired one."""
    rule = partial(
        lifecycle.cancel,
        at=request.at,
        at_next_rebill=request.at_next_rebill,
        reason=request.reason,
        tells_consumer=request.tells_consumer,
    )
    return await change_subscription(billing, key, rule, request_id=request_id, telling=_choose_event_kind)


def _choose_event_kind(before: Subscription, after: Subscription) -> LifecycleEventKind | None:
    if after.state is SubscriptionState.CANCELED:
        return CANCELED if before.state is not SubscriptionState.CANCELED else None
    return DELAYED if after.cancel_at != before.cancel_at else None


async def recover(billing: BillingDependencies, key: Key, *, request_id: str) -> Subscription:
    """Withdraw a cancellation, and return the subscription; one that is not canceled is unchanged.

    Raises NotFound, and Invalid for one that has expired or has nothing left to charge.
    """
    return await change_subscription(billing, key, lifecycle.recover, request_id=request_id, telling=_choose_recovered)


def _choose_recovered(_before: Subscription, _after: Subscription) -> LifecycleEventKind:
    return RECOVERED
