"""Recover a subscription: withdraw its cancellation, also after the end, and continue its schedule."""

from __future__ import annotations

from tollhouse.billing import lifecycle
from tollhouse.billing.changes.change import change_subscription
from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.billing.model import RECOVERED, Subscription
from tollhouse.billing.store import Key


async def recover(biller: BillingDependencies, key: Key, *, request_id: str) -> Subscription:
    """Withdraw a cancellation, and return the subscription; one that is not canceled is unchanged.

    Raises NotFound, and Invalid for one that has expired or has nothing left to charge.
    """
    return await change_subscription(
        biller, key, lifecycle.recover, request_id=request_id, telling=lambda _before, _after: RECOVERED
    )
