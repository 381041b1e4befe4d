"""Years of a subscription by the pure rules: two workers that crash anywhere, outages, declines, a merchant's changes.

The store is a few lists in memory. It does what the SQL of billing does: the lease, the check when a try is begun, and
the index that lets no second try be open or paid. The judge is `tests.support.bills`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec.structs import replace
from tests.support.bills import Try
from tests.support.due_dates import Calendar, plan_dues
from tests.support.shop import price
from tests.support.subscriptions import pay, sign_up, switch

from tollhouse.billing import lifecycle
from tollhouse.billing.dunning import Policy, choose_allowed_time, read_policy
from tollhouse.billing.model import Decline, Subscription, SubscriptionContext
from tollhouse.billing.schedule import Charge
from tollhouse.billing.upcoming import list_upcoming
from tollhouse.catalog.model import Price

LEASE = timedelta(seconds=60)
#: After that nobody asks the acquirer any more, so that "not found" is certain.
RESOLVED_AFTER = timedelta(minutes=10)
YEARS = timedelta(days=3653)
BRAND = "visa"
NOT_FOUND = "1040"
DECLINES = ["5051"] * 12 + ["5005"] * 3 + ["5091"] * 2 + ["5054"] * 2 + ["5043"]
POLICIES = ["default", "default", "1,3,5,7", "2,4", "disabled", "5,10,20"]
#: Seconds between two steps of a worker: as a rule none to speak of, now and then more than a lease.
PAUSES = [0.0, 0.1, 0.5, 2.0, 30.0, 90.0]
MAX_LOOKS = 40_000


@dataclass(frozen=True, slots=True)
class Trouble:
    """How rough it is, as odds of a thousand.

    That a look is late by an outage, that a step is the last one of its worker, that a charge is declined, and that the
    merchant wants something between two looks.
    """

    outages: int = 0
    crashes: int = 0
    declines: int = 0
    changes: int = 0


CALM = Trouble()
ROUGH = Trouble(outages=30, crashes=60, declines=80, changes=30)


@dataclass(slots=True)
class SimulatedSubscription:
    """One subscription, its rows, what the acquirer booked by try, and the time."""

    subscription: Subscription
    calendar: Calendar
    chance: random.Random
    trouble: Trouble
    policy: Policy
    now: datetime
    until: datetime
    tries: list[Try] = field(default_factory=list)
    #: By the index of the try: None for an approval, else the code of the decline.
    books: dict[int, str | None] = field(default_factory=dict)
    foretold: list[Charge] = field(default_factory=list)
    lease: int | None = None
    leases: int = 0
    lease_until: datetime | None = None
    is_charging: bool = False
    is_repriced: bool = False

    # ------------------------------------------------------------ the store

    @property
    def recent(self) -> list[Try]:
        """The newest tries, which are all that one period and the limits of the schemes can be about."""
        return self.tries[-60:]

    def read(self) -> SubscriptionContext:
        """Return what the view `subscription_case` does."""
        tried = [each for each in self.recent if each.period == self.subscription.next_period]
        failed = [each for each in tried if each.state == "failed"]
        declines = [each.finished_at for each in self.recent if each.is_decline and each.finished_at]
        return SubscriptionContext(
            subscription=self.subscription,
            now=self.now,
            is_charging=self.is_charging,
            policy=self.policy,
            lease=self.lease,
            first_tried_at=min((each.tried_at for each in tried if each.counts), default=None),
            declined_tries=sum(each.is_decline for each in failed),
            last_decline=failed[-1].describe(BRAND)
            if failed and failed[-1].account == self.subscription.account_id
            else None,
            declines=[at for at in declines[-50:] if at > self.now - timedelta(days=30)],
        )

    def take(self) -> SubscriptionContext | None:
        """Lease what is due and not leased by anybody else."""
        due_at = None if self.is_charging else self.subscription.due_at
        is_leased = self.lease_until is not None and self.lease_until > self.now
        if due_at is None or due_at > self.now or is_leased:
            return None
        self.leases += 1
        self.lease, self.lease_until = self.leases, self.now + LEASE
        return self.read()

    def write(self, subscription: Subscription) -> None:
        """Write the subscription; whoever had leased it has it no more."""
        self.subscription, self.lease, self.lease_until = subscription, None, None

    def begin(self, case: SubscriptionContext, charge: Charge) -> int | None:
        """Write a try down and return its index; None if the subscription is not as it was leased."""
        each = self.subscription
        if self.lease != case.lease or each.next_period != charge.period or self.is_charging:
            return None
        assert all(row.period != charge.period or row.state == "failed" for row in self.recent), "renewal_once"
        self.write(replace(each, tries=case.subscription.tries + 1))
        self.is_charging = True
        self.tries.append(
            Try(
                charge.period,
                self.subscription.tries,
                charge.due_at,
                charge.money.amount_minor,
                self.now,
                account=self.subscription.account_id,
            )
        )
        return len(self.tries) - 1

    def settle(self, index: int, code: str | None) -> None:
        """Write what became of a try, unless somebody has."""
        row, case = self.tries[index], self.read()
        if row.state != "open":
            return
        row.state, row.finished_at, row.code, self.is_charging = "failed" if code else "paid", self.now, code, False
        if code is None:
            self.write(pay(case.subscription, self.now))
        else:
            self.write(lifecycle.fail(case, Decline(self.now, code, None, BRAND)))

    # ------------------------------------------------------------ who does something

    def work(self) -> Iterator[None]:
        """Do what a worker does, yielding wherever it may be killed or overtaken."""
        case = self.take()
        yield
        if case is None:
            return
        charge = lifecycle.next_charge(case.subscription)
        is_over = lifecycle.end_what_is_over(case) is not None
        if is_over or charge is None or not charge.money.amount_minor:
            self.do_without_charge(case)
            return
        allowed_at = choose_allowed_time(case.now, brand=BRAND, declines=case.declines)
        if allowed_at > case.now:
            if self.lease == case.lease:
                self.write(replace(self.subscription, charge_at=allowed_at))
            return
        index = self.begin(case, charge)
        yield
        if index is None:
            return
        self.books[index] = self.decide()
        yield
        self.settle(index, self.books[index])

    def do_without_charge(self, case: SubscriptionContext) -> None:
        """End what is over and pass over what costs nothing, as it is now."""
        fresh = self.read()
        if self.lease == case.lease:
            self.write(lifecycle.end_what_is_over(fresh) or lifecycle.skip_free_period(fresh))

    def decide(self) -> str | None:
        """Approve or decline, as the issuer pleases."""
        return self.chance.choice(DECLINES) if self.happens(self.trouble.declines) else None

    def look(self) -> None:
        """Let two workers look at the same time, in any order of their steps; then the resolver, if need be."""
        workers = [self.work(), self.work()] if self.trouble is not CALM else [self.work()]
        while workers:
            worker = self.chance.choice(workers)
            has_ended = next(worker, "ended") == "ended"
            if has_ended or self.happens(self.trouble.crashes):
                workers.remove(worker)
            if self.trouble is not CALM:
                self.now += timedelta(seconds=self.chance.choice(PAUSES))
        if self.is_charging:
            self.now = max(self.now, self.tries[-1].tried_at + RESOLVED_AFTER) + self.lateness()
            self.change_now_and_then()
            self.settle(len(self.tries) - 1, self.books.get(len(self.tries) - 1, NOT_FOUND))

    def lateness(self) -> timedelta:
        """Return how late somebody looks: a second, or after an outage of hours to months."""
        if self.happens(self.trouble.outages):
            return timedelta(hours=self.chance.choice([1, 5, 12, 30, 24 * 4, 24 * 20, 24 * 100]))
        return timedelta(seconds=self.chance.randrange(1, 3))

    def change_before(self, due_at: datetime) -> None:
        """Let the merchant do something before it is looked at next; what waits for a new card mostly gets one."""
        if self.subscription.waits_for_account and self.chance.random() < 0.8:
            self.wait_until(due_at)
            self.write(switch(self.subscription, self.now))
        elif self.happens(self.trouble.changes):
            self.wait_until(due_at)
            self.change()

    def wait_until(self, due_at: datetime) -> None:
        """Let some of the time until then go by."""
        self.now += timedelta(seconds=self.chance.randint(0, max(0, int((due_at - self.now).total_seconds()))))

    def change_now_and_then(self) -> None:
        """Let the merchant do something, with the odds of its changes."""
        if self.happens(self.trouble.changes):
            self.change()

    def change(self) -> None:
        """Let the merchant do something, if it runs: cancel and take back, or give it other prices."""
        if self.subscription.state.is_running:
            self.chance.choice([self.reprice, self.cancel])()

    def cancel(self) -> None:
        """Cancel, at once or later; mostly the consumer thinks better of it."""
        at = self.chance.choice([None, self.now + timedelta(days=9), self.now + timedelta(days=400)])
        cancelled = lifecycle.cancel(self.read(), at=at, at_next_rebill=False, reason=None, tells_consumer=False)
        self.write(cancelled)
        has_paid = cancelled.paid_until is not None and cancelled.paid_until > self.now
        if self.chance.random() < 0.9 and (cancelled.state.is_running or has_paid):
            self.write(lifecycle.recover(self.read()))

    def reprice(self) -> None:
        """Give it other prices from the next charge on, which is the one after a charge that is under way."""
        prices = self.chance.choice(REPRICES)
        before, self.is_repriced = self.read(), True
        self.write(lifecycle.change_prices(before, prices))
        if not before.is_charging:
            self.note_prices(prices)
            return
        # What is under way is of the old list: its outcome says which charge is the first of the new one.
        index = len(self.tries) - 1
        self.settle(index, self.books.get(index, NOT_FOUND))
        self.note_prices(prices)

    def note_prices(self, prices: tuple[Price, ...]) -> None:
        """Let the calendar know too."""
        each = self.subscription
        if each.next_period <= len(self.calendar.dues):
            self.calendar.change_prices(prices, each.next_period)
        elif each.paid_until is not None and each.state.is_running:
            self.calendar.start_again(prices, each.paid_until)

    def happens(self, odds: int) -> bool:
        """Say whether something with these odds, of a thousand, happens now."""
        return bool(odds) and self.chance.randrange(1000) < odds


REPRICES = (
    (price(2999, "1m", repeat=True),),
    (price(0, "7d", repeat=2), price(700, "30d", repeat=True)),
    (price(1500, "0d"), price(800, "1y", repeat=True)),
    (price(400, "2w", repeat=3), price(90, "0d"), price(1200, "3m", repeat=True)),
)


def live(
    prices: tuple[Price, ...], at: datetime, seed: int, trouble: Trouble, length: timedelta = YEARS
) -> SimulatedSubscription:
    """Live through the years, and return the subscription as it is then."""
    chance, until = random.Random(seed), at + length
    subscription = sign_up(*prices, at=at, is_trial=not any(each.money.amount_minor for each in prices[:1]))
    policy = read_policy(chance.choice(POLICIES))
    simulated = SimulatedSubscription(
        subscription, plan_dues(prices, at, until), chance, trouble, policy, now=at, until=until
    )
    simulated.foretold = [each.charge for each in list_upcoming(simulated.read(), limit=366)]
    for _ in range(MAX_LOOKS):
        due_at = simulated.subscription.due_at
        if due_at is None or due_at > until:
            return simulated
        if trouble.changes:
            simulated.change_before(due_at)
        simulated.now = max(
            simulated.now, simulated.subscription.due_at or simulated.now, simulated.lease_until or simulated.now
        )
        simulated.now += simulated.lateness()
        simulated.look()
    raise AssertionError("It was looked at too often.")
