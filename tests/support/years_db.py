"""Years of many subscriptions on a real database: two processes that are killed, an acquirer in any mood, a merchant.

Only the merchant's clock is moved, by leaps; leases and the resolver's pauses are real time, and end when a test says.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.support.acquirer import Plan, ScriptedAcquirer
from tests.support.billing import Billing, give_card
from tests.support.bills import Bills, Try
from tests.support.clock import leap
from tests.support.due_dates import Calendar, plan_dues
from tests.support.shop import MERCHANT, card, open_shop, price

from tollhouse.acquirers.model import Declined
from tollhouse.billing.changes.cancel import Cancellation, cancel, recover
from tollhouse.billing.changes.change import reprice
from tollhouse.catalog.model import Price
from tollhouse.kernel.card import is_luhn_valid
from tollhouse.kernel.errors import Rejection, TollhouseError
from tollhouse.merchants.clock import read_offsets
from tollhouse.storage.database import Database
from tollhouse.worker.payments import resolve_due
from tollhouse.worker.subscriptions import renew_due

#: What happens to a charge, and how often.
MOODS: dict[Plan, int] = {
    Plan(): 80,
    Plan(Declined("51")): 6,
    Plan(Declined("91")): 2,
    Plan(Declined("54")): 2,
    Plan(Declined("04")): 1,
    Plan(Declined("R3")): 1,
    Plan(lost="answer"): 4,
    Plan(lost="request"): 2,
    Plan(Declined("51"), lost="answer"): 1,
    Plan(late=True): 3,
    Plan(not_sent=True): 1,
}
SCHEDULES: Sequence[tuple[Price, ...]] = (
    (price(999), price(1999, "30d", repeat=True)),
    (price(0), price(500, "7d"), price(1999, "1m", repeat=True)),
    (price(100), price(300, "1m", repeat=True)),
    (price(100), price(0, "10d", repeat=2), price(700, "2w", repeat=True)),
    (price(5000), price(4000, "1y", repeat=True)),
    (price(100), price(200, "1m", repeat=6), price(50), price(900, "3m", repeat=True)),
    (price(100), price(800, "20d", repeat=12)),
)
REPRICES: Sequence[tuple[Price, ...]] = (
    (price(2999, "1m", repeat=True),),
    (price(0, "7d", repeat=2), price(700, "30d", repeat=True)),
    (price(1500), price(800, "2m", repeat=True)),
)
#: Hours that go by between two looks of the workers; the long ones are outages.
LEAPS = [1, 5, 24, 24, 48, 48, 72, 96, 168, 168, 24 * 45]
MAX_HOLD_SECONDS = 0.02
MAX_ROUNDS = 20
MOODS_PER_ROUND = 200
#: Of so many subscriptions one or two are changed at a time.
SIZE_PER_CHANGE = 30

TRIES = """
select r.period, r.try as number, r.due_at, t.amount_minor, r.tried_at, r.state::text as state, r.finished_at, r.code,
    a.reference
from renewal r
join transaction t using (merchant_id, transaction_id)
join attempt a using (merchant_id, transaction_id)
where r.subscription_id = $1
order by r.tried_at, r.period, r.try
"""

#: Settled transactions that have not their one event, and open ones that have one: none. It is joined once, for many.
UNTOLD = """
select t.transaction_id, t.status::text, coalesce(told.events, 0)
from transaction t
left join (
    select merchant_id, transaction_id, count(*) as events from event group by merchant_id, transaction_id
) as told using (merchant_id, transaction_id)
where coalesce(told.events, 0) <> case t.status when 'pending' then 0 else 1 end
"""


@dataclass(slots=True)
class Life:
    """A subscription as it was agreed on. A change of price that is not in the calendar yet has its prices here."""

    user: int
    calendar: Calendar
    repriced: tuple[Price, ...] | None = None
    #: The periods that fell due after an end that was taken back.
    skipped: set[int] = field(default_factory=set)


def number_card(user: int, *, which: int = 0) -> str:
    """Return the number of one of a user's cards. Nobody else has it: a card is one card, whoever pays with it."""
    body = f"4{which}{user:013d}"
    return next(body + check for check in "0123456789" if is_luhn_valid(body + check))


@dataclass(slots=True)
class Town:
    """Two processes on one database, the acquirer's books, and all who subscribed."""

    databases: Sequence[Database]
    chance: random.Random
    until: timedelta
    #: How many subscriptions run at a time.
    size: int
    acquirer: ScriptedAcquirer = field(default_factory=ScriptedAcquirer)
    processes: list[Billing] = field(default_factory=list)
    lives: dict[int, Life] = field(default_factory=dict)
    age: timedelta = timedelta()
    kills: int = 0
    changes: int = 0

    async def open(self) -> None:
        """Start both processes."""
        self.processes = [await self.start(database) for database in self.databases]

    async def start(self, database: Database) -> Billing:
        """Start a process, which asks for the merchants' clocks."""
        billing = Billing(open_shop(database, self.acquirer))
        await read_offsets(database, billing.shop.parts.clock)
        return billing

    async def keep_size(self) -> None:
        """Let new subscriptions come for those that are over."""
        running = await self.processes[0].shop.value(
            "select count(*) from subscription where status in ('active', 'trial', 'past_due')"
        )
        self.acquirer.plans.clear()
        for _ in range(self.size - running):
            prices, number = self.chance.choice(SCHEDULES), len(self.lives) // 2
            billing = self.chance.choice(self.processes)
            subscription_id = await billing.subscribe(
                prices=prices, external_id=f"user-{number}", consumer_id=None, number=number_card(number)
            )
            begun_at = (await billing.case(subscription_id)).subscription.plan.base_at
            self.lives[subscription_id] = Life(number, plan_dues(prices, begun_at, begun_at + self.until))

    async def live_on(self) -> None:
        """Let some time go by, then let workers, killers and the merchant loose at the same time."""
        hours = self.chance.choice(LEAPS)
        self.age += timedelta(hours=hours)
        await leap(self.databases[0], MERCHANT, *[each.shop.parts.clock for each in self.processes], hours=hours)
        self.acquirer.plans.clear()
        self.acquirer.plan(*(self.choose_mood() for _ in range(MOODS_PER_ROUND + self.size)))
        changes = [self.change() for _ in range(self.chance.choice([0, 0, 1, 2]) * self.size // SIZE_PER_CHANGE)]
        work = [self.attempt(renew_due(each.dependencies)) for each in self.processes]
        await asyncio.gather(*work, *changes, self.kill())
        await self.settle_some()
        await self.note_prices()

    def choose_mood(self) -> Plan:
        """Say what happens to a charge; now and then it takes its time."""
        [mood] = self.chance.choices(list(MOODS), list(MOODS.values()))
        if mood != Plan() or self.chance.random() > 0.1:
            return mood
        hold = asyncio.Event()
        asyncio.get_running_loop().call_later(self.chance.random() * MAX_HOLD_SECONDS, hold.set)
        return Plan(hold=hold)

    async def attempt(self, work: Awaitable[Any]) -> None:
        """Do something that may be refused, or may find its process gone."""
        try:
            await work
        except (TollhouseError, asyncio.CancelledError):
            return

    async def kill(self) -> None:
        """Kill a process at any moment, three times out of ten, and start another in its place."""
        if self.chance.random() > 0.3:
            return
        await asyncio.sleep(self.chance.random() * MAX_HOLD_SECONDS)
        number = self.chance.randrange(2)
        await self.processes[number].shop.die()
        self.processes[number] = await self.start(self.databases[number])
        self.kills += 1

    async def settle_some(self) -> None:
        """Let late requests arrive and the resolver find out what is open; sometimes nobody does for days."""
        if self.chance.random() < 0.3:
            return
        await self.settle_all()

    async def settle_all(self) -> None:
        """Let the minute and the pauses go by that leases and the resolver keep in real time."""
        for reference in list(self.acquirer.underway):
            self.acquirer.arrive(reference)
        shop = self.chance.choice(self.processes).shop
        for each in self.processes:
            await each.shop.quiet()
        await shop.value("update subscription set lease_until = now() where lease_until is not null")
        await shop.value("update open_attempt set resolve_at = now() where resolve_at is not null")
        await resolve_due(shop.parts.attempts)

    async def change(self) -> None:
        """Let the merchant want something of any subscription, at any process."""
        subscription_id, billing = self.chance.choice(list(self.lives)), self.chance.choice(self.processes)
        verbs = [self.cancel, self.recover, self.recover, self.reprice, self.change_card, self.change_card]
        await asyncio.sleep(self.chance.random() * MAX_HOLD_SECONDS / 2)
        await self.attempt(self.chance.choice(verbs)(billing, subscription_id))
        self.changes += 1

    async def cancel(self, billing: Billing, subscription_id: int) -> None:
        """Cancel at once, at the next charge or at a date; at once is mostly a mistake."""
        case = await billing.case(subscription_id)
        key, days = (MERCHANT, subscription_id), self.chance.choice([None, 9, 400])
        at = None if days is None else case.now + timedelta(days=days)
        change = Cancellation(at=at, at_next_rebill=self.chance.random() < 0.3)
        await cancel(billing.dependencies, key, change, request_id="r")
        if self.chance.random() < 0.8:
            await self.recover(billing, subscription_id)

    async def recover(self, billing: Billing, subscription_id: int) -> None:
        """Undo a cancellation, if there is one. What fell due after the end is not made up for."""
        before = (await billing.case(subscription_id)).subscription
        after = await recover(billing.dependencies, (MERCHANT, subscription_id), request_id="r")
        if not before.state.is_running:
            self.lives[subscription_id].skipped |= set(range(before.next_period, after.next_period))

    async def reprice(self, billing: Billing, subscription_id: int) -> None:
        """Give it other prices, unless those before have not been noted."""
        life, prices = self.lives[subscription_id], self.chance.choice(REPRICES)
        if life.repriced is None:
            life.repriced = prices
            try:
                await reprice(billing.dependencies, (MERCHANT, subscription_id), prices, request_id="r")
            except Rejection:
                life.repriced = None

    async def change_card(self, billing: Billing, subscription_id: int) -> None:
        """Put the consumer's other card on it."""
        number = number_card(self.lives[subscription_id].user, which=self.chance.randrange(1, 9))
        await give_card(billing, subscription_id, card=card(number))

    async def note_prices(self) -> None:
        """Enter changes of price into the calendars as soon as they have taken effect."""
        for subscription_id, life in self.lives.items():
            if life.repriced is None:
                continue
            subscription = (await self.processes[0].case(subscription_id)).subscription
            if subscription.next_prices is not None:
                continue
            if subscription.plan.first_period <= len(life.calendar.dues):
                life.calendar.change_prices(life.repriced, subscription.plan.first_period)
            else:
                life.calendar.start_again(life.repriced, subscription.plan.base_at)
            life.repriced = None

    async def come_to_rest(self) -> None:
        """Let everything be settled and done that is due, with an acquirer in its best mood."""
        self.acquirer.plans.clear()
        for _ in range(MAX_ROUNDS):
            await self.settle_all()
            if not await renew_due(self.processes[0].dependencies):
                break
        await self.note_prices()

    async def collect_bills(self) -> dict[int, Bills]:
        """Return what each subscription was charged, and what it should have been."""
        charged = set(self.acquirer.charged)
        return {
            subscription_id: await self.collect(subscription_id, life, charged)
            for subscription_id, life in self.lives.items()
        }

    async def collect(self, subscription_id: int, life: Life, charged: set[str]) -> Bills:
        """Return the bills of one."""
        billing = self.processes[0]
        case = await billing.case(subscription_id)
        rows = [dict(row) for row in await billing.shop.fetch(TRIES, subscription_id)]
        tries = [Try(**row, is_charged=reference in charged) for row in rows for reference in [row.pop("reference")]]
        return Bills(
            case.subscription,
            tries,
            life.calendar,
            case.now,
            is_card_refused=case.refused_at is not None,
            skipped=life.skipped,
        )
