"""Change a subscription: lock it, apply a pure rule, and write the result with its event; and change its prices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tollhouse.billing import lifecycle
from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.billing.lifecycle import is_same_charge
from tollhouse.billing.model import LifecycleEvent, LifecycleEventKind, Subscription, SubscriptionContext
from tollhouse.billing.store import Key, lock_case, select_case, update_subscriptions
from tollhouse.catalog.model import Price
from tollhouse.kernel.errors import NotFound

MISSING = "Subscription not found."

#: Returns the changed subscription, or raises Invalid.
Rule = Callable[[SubscriptionContext], Subscription]
#: Returns the kind of event for a change from the old to the new subscription, or None.
ChooseEventKind = Callable[[Subscription, Subscription], LifecycleEventKind | None]


async def access_subscription(billing: BillingDependencies, key: Key) -> SubscriptionContext:
    """Return a merchant's subscription with the facts for its rules. Raises NotFound."""
    async with billing.database.acquire() as connection:
        case = await select_case(connection, key)
    if case is None:
        raise NotFound(MISSING)
    return case


async def change_subscription(
    billing: BillingDependencies, key: Key, rule: Rule, *, request_id: str, telling: ChooseEventKind | None = None
) -> Subscription:
    """Change a subscription by a rule, and return it. Raises NotFound, and everything that the rule raises."""
    async with billing.database.transaction() as connection:
        case = await lock_case(connection, key)
        if case is None:
            raise NotFound(MISSING)
        after = rule(case)
        if after != case.subscription:
            await update_subscriptions(
                connection, [after], are_charging=case.is_charging, keeps_lease=is_same_charge(case.subscription, after)
            )
            kind = telling(case.subscription, after) if telling else None
            if kind is not None:
                await billing.tell(connection, [LifecycleEvent(kind, after, case.now, request_id)])
    return after


async def reprice(billing: BillingDependencies, key: Key, prices: Sequence[Price], *, request_id: str) -> Subscription:
    """Set the prices of a subscription from its next charge on, and return it.

    Raises NotFound, and Invalid for one that is over.
    """
    rule = partial(lifecycle.change_prices, prices=prices)
    return await change_subscription(billing, key, rule, request_id=request_id)
