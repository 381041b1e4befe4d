"""Random histories of a subscription by the pure rules: counts, due times and states always agree."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace
from tests.support.shop import price
from tests.support.subscriptions import (
    DAILY,
    DEARER,
    EVERY_TEN_DAYS,
    EXPIRED_CARD,
    FREE,
    FUNDS,
    MONTHLY,
    START,
    STOLEN,
    cancel,
    pay,
    seen,
    sign_up,
    switch,
)

from tollhouse.billing import lifecycle
from tollhouse.billing.model import Decline, Subscription, SubscriptionContext, SubscriptionState
from tollhouse.billing.schedule import find_period_after
from tollhouse.catalog.model import Price
from tollhouse.kernel.errors import Invalid

SCHEDULES = st.sampled_from(
    [EVERY_TEN_DAYS, MONTHLY, DAILY, (price(0), price(5, "3d"), price(9, "1m", repeat=True)),
     (price(1), price(0, "7d", repeat=2), price(3, "2w", repeat=3)), (price(1), price(2, "5d"), price(3, "0d"))]
)  # fmt: skip
ALLOWED = {
    SubscriptionState.ACTIVE: {
        SubscriptionState.ACTIVE,
        SubscriptionState.PAST_DUE,
        SubscriptionState.CANCELED,
        SubscriptionState.EXPIRED,
    },
    SubscriptionState.TRIAL: {
        SubscriptionState.TRIAL,
        SubscriptionState.ACTIVE,
        SubscriptionState.PAST_DUE,
        SubscriptionState.CANCELED,
        SubscriptionState.EXPIRED,
    },
    SubscriptionState.PAST_DUE: {
        SubscriptionState.PAST_DUE,
        SubscriptionState.ACTIVE,
        SubscriptionState.TRIAL,
        SubscriptionState.CANCELED,
        SubscriptionState.EXPIRED,
    },
    SubscriptionState.CANCELED: {SubscriptionState.CANCELED, SubscriptionState.ACTIVE, SubscriptionState.TRIAL},
    SubscriptionState.EXPIRED: {SubscriptionState.EXPIRED},
}


class Lives(RuleBasedStateMachine):
    """One subscription, with a worker, an issuer, and requests of a merchant."""

    @initialize(prices=SCHEDULES)
    def begin(self, prices: tuple[Price, ...]) -> None:
        """Sign up."""
        self.now, self.pays, self.passes, self.is_charging, self.is_other_card = START, 0, 0, False, False
        self.first_tried_at: datetime | None = None
        self.subscription = sign_up(*prices, is_trial=not prices[0].money.amount_minor)

    @property
    def case(self) -> SubscriptionContext:
        """Return the subscription as the store would read it."""
        return seen(self.subscription, self.now, is_charging=self.is_charging, first_tried_at=self.first_tried_at)

    def become(self, subscription: Subscription) -> None:
        """Take the next subscription, if the graph of states allows it."""
        assert subscription.state in ALLOWED[self.subscription.state]
        if subscription.next_period != self.subscription.next_period:
            self.first_tried_at = None
        self.subscription = subscription

    @rule(hours=st.sampled_from([1, 12, 24, 72, 240, 24 * 45]))
    def wait(self, hours: int) -> None:
        """Let time go by."""
        self.now += timedelta(hours=hours)

    @precondition(lambda self: not self.is_charging and self.subscription.due_at is not None)
    @rule(periods=st.integers(1, 5), late=st.sampled_from([0, 0, 5, 30, 24 * 50]))
    def live_on(self, periods: int, late: int) -> None:
        """Pay some periods in a row, each a little late, or all after an outage."""
        for _ in range(periods):
            if self.is_charging or self.subscription.due_at is None:
                return
            self.now = max(self.now, self.subscription.due_at + timedelta(hours=late))
            if self.look_once():
                self.answer("0")

    @precondition(lambda self: not self.is_charging)
    @rule()
    def look(self) -> None:
        """Run the worker."""
        self.look_once()

    def look_once(self) -> bool:
        """Run one step of the worker: end, skip or begin an attempt; return whether it was the last."""
        due_at = self.subscription.due_at
        if due_at is None or due_at > self.now:
            return False
        over, charge = lifecycle.end_what_is_over(self.case), lifecycle.next_charge(self.subscription)
        if over is not None:
            self.become(over)
            return False
        assert charge is not None
        assert charge.due_at <= self.now
        if charge.money.amount_minor:
            self.is_charging, self.is_other_card = True, False
            self.first_tried_at = self.first_tried_at or self.now
            self.subscription = replace(self.subscription, tries=self.subscription.tries + 1)
        else:
            self.passes += 1
            self.become(lifecycle.skip_free_period(self.case))
        return self.is_charging

    @precondition(lambda self: self.is_charging)
    @rule(code=st.sampled_from(["0", "0", "0", FUNDS, FUNDS, EXPIRED_CARD, STOLEN, "1040"]))
    def answer(self, code: str) -> None:
        """Finish the attempt in progress."""
        case, self.is_charging = self.case, False
        if code == "0":
            self.pays += 1
            self.become(pay(case.subscription, self.now))
        elif self.is_other_card:
            self.become(lifecycle.fail_on_old_account(case.subscription, self.now))
        else:
            self.become(lifecycle.fail(case, Decline(self.now, code, None, "visa")))

    @rule(days=st.sampled_from([4, 40, 400, None, -1]), at_next_rebill=st.booleans())
    def cancel(self, days: int | None, *, at_next_rebill: bool) -> None:
        """Cancel."""
        at = None if days is None else self.now + timedelta(days=days)
        self.attempt(lambda: cancel(self.subscription, self.now, at=at, at_next_rebill=at_next_rebill))

    @rule()
    def recover(self) -> None:
        """Withdraw the cancellation: the schedule is unchanged, and periods due after the end are skipped."""
        before = self.subscription
        self.attempt(lambda: lifecycle.recover(self.case))
        skipped = self.subscription.next_period - before.next_period
        self.passes += skipped
        assert self.subscription.plan == before.plan
        if skipped:
            assert before.state is SubscriptionState.CANCELED
            assert self.subscription.renewal_at is not None
            assert self.subscription.renewal_at > self.now
            assert find_period_after(before.plan, before.next_period, self.now) == self.subscription.next_period
        else:
            assert self.subscription.renewal_at == before.renewal_at

    @rule(prices=st.sampled_from([DEARER, FREE, MONTHLY, DAILY[1:], (price(7, "3d"),)]))
    def reprice(self, prices: tuple[Price, ...]) -> None:
        """Change the prices: the next charge keeps its date, if there is one."""
        charge = lifecycle.next_charge(self.subscription)
        self.attempt(lambda: lifecycle.change_prices(self.case, prices))
        kept = lifecycle.next_charge(self.subscription)
        assert charge is None or (kept is not None and kept.due_at == charge.due_at)

    @rule()
    def switch(self) -> None:
        """Give it another card."""
        self.is_other_card = True
        self.become(switch(self.subscription, self.now))

    @rule(does=st.integers(0, 3))
    def revoke(self, does: int) -> None:
        """Sometimes revoke all payments on its card."""
        if not does:
            self.become(lifecycle.revoke(self.subscription, self.now))

    def attempt(self, verb: Callable[[], Subscription]) -> None:
        """Run a request of the merchant; if it is rejected, nothing changes."""
        try:
            self.become(verb())
        except Invalid:
            assert self.subscription.state in {SubscriptionState.CANCELED, SubscriptionState.EXPIRED}

    @invariant()
    def counts(self) -> None:
        """Cycles are the paid periods, and each period was paid or skipped before the next."""
        assert self.subscription.cycle == self.pays
        assert self.subscription.next_period == 1 + self.pays + self.passes

    @invariant()
    def is_looked_at(self) -> None:
        """A running subscription without a charge in progress has a due time; one that is over has none."""
        is_running = self.subscription.state.is_running
        assert is_running == (self.subscription.due_at is not None)

    @invariant()
    def is_never_early(self) -> None:
        """The next period is due by its schedule, and no attempt for it may be made before."""
        each, charge = self.subscription, lifecycle.next_charge(self.subscription)
        assert each.renewal_at == (charge and charge.due_at)
        if each.renewal_at is not None and not each.is_revoked:
            assert each.charge_at is not None
            assert each.charge_at >= each.renewal_at


Lives.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLives = Lives.TestCase
TestLives.__doc__ = "Whatever happens in whatever order: counts, due times and states fit together."
