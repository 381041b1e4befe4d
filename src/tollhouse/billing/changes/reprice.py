"""Change the prices of a subscription: the next charge keeps its date and is the first of the new prices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tollhouse.billing import lifecycle
from tollhouse.billing.changes.change import change_subscription
from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.billing.model import Subscription
from tollhouse.billing.store import Key
from tollhouse.catalog.model import Price


async def reprice(biller: BillingDependencies, key: Key, prices: Sequence[Price], *, request_id: str) -> Subscription:
    """Set the prices of a subscription from its next charge on, and return it.

    Raises NotFound, and Invalid for one that is over.
    """
    rule = partial(lifecycle.change_prices, prices=prices)
    return await change_subscription(biller, key, rule, request_id=request_id)
