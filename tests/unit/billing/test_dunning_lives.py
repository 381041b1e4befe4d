"""Random histories of an owed period, compared with a model written from the documentation.

`make years SCHEDULES=10000` runs more of them.
"""

from __future__ import annotations

import os
import random
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.dunning_model import DAY, FOR_GOOD, FUNDS, NEW_CARD_NEEDED, UNREACHED, OwedPeriod
from tests.support.shop import price
from tests.support.subscriptions import START, decline, seen, sign_up

from tollhouse.billing import lifecycle
from tollhouse.billing.dunning import Policy
from tollhouse.billing.model import Decline, Subscription, SubscriptionState

LIVES = int(os.environ.get("YEARS_SCHEDULES", "300"))
CODES = [FUNDS] * 6 + [UNREACHED] * 4 + [NEW_CARD_NEEDED, FOR_GOOD]
LATENESS_HOURS = [0, 0, 0, 0, 5, 30, 24 * 9]
MAX_FAILURES = 12
PERIODS = [1, 2, 3, 5, 7, 10, 30, 60]


def describe(subscription: Subscription) -> tuple[str, datetime | None]:
    """Return the state of a subscription in the terms of the model."""
    if subscription.state is SubscriptionState.EXPIRED:
        return "expired", None
    assert subscription.state is SubscriptionState.PAST_DUE
    return "waits" if subscription.waits_for_account else "tried again", subscription.charge_at


def look(subscription: Subscription, now: datetime) -> Subscription:
    """Let the worker end subscriptions that are over."""
    return lifecycle.end_what_is_over(seen(subscription, now)) or subscription


@settings(max_examples=LIVES, deadline=None)
@given(
    period=st.sampled_from(PERIODS),
    is_last=st.booleans(),
    days=st.sampled_from([(), (1, 3, 5, 7), (2, 4), (5, 10, 20), (1, 2, 3, 60)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_renewal_that_fails_follows_the_documents(
    period: int, days: tuple[int, ...], seed: int, *, is_last: bool
) -> None:
    """Declined, unreached, late or repriced in any order, each step is as documented."""
    chance = random.Random(seed)
    repeat = 1 if is_last else True
    subscription = sign_up(price(999), price(500, f"{period}d", repeat=repeat))
    due_at = START + period * DAY
    model = OwedPeriod(due_at, None if is_last else due_at + period * DAY, days)
    policy, last, now = Policy(days), None, due_at
    for _ in range(MAX_FAILURES):
        assert subscription.charge_at is not None
        now = max(now, subscription.charge_at) + timedelta(hours=chance.choice(LATENESS_HOURS))
        code = chance.choice(CODES)
        known = {"policy": policy, "declined_tries": model.declines, "first_tried_at": model.first_declined_at or now}
        subscription, last = decline(subscription, now, code, **known), Decline(now, code, None, "visa")
        assert describe(subscription) == model.fail(code, now)
        if subscription.state is SubscriptionState.PAST_DUE and chance.random() < 0.4:
            new_period = chance.choice(PERIODS)
            until = subscription.charge_at or now
            now += timedelta(hours=chance.randint(0, max(0, int((until - now) / timedelta(hours=1)) - 1)))
            case = seen(
                replace(subscription),
                now,
                **known
                | {"last_decline": last, "declined_tries": model.declines, "first_tried_at": model.first_declined_at},
            )
            subscription = lifecycle.change_prices(case, (price(700, f"{new_period}d", repeat=True),))
            expected = model.reprice(due_at + new_period * DAY, now)
            assert describe(look(subscription, now)) == expected
        subscription = look(subscription, now)
        if subscription.state is SubscriptionState.EXPIRED or subscription.waits_for_account:
            return
