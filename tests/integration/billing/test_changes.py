"""Canceling, recovering, changing prices and card: each alone, and each racing a renewal."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.acquirer import Plan
from tests.support.billing import Billing, give_card
from tests.support.shop import MERCHANT, OTHER_NUMBER, Shop, faults_in, price

from tollhouse.acquirers.model import Declined
from tollhouse.billing.changes.cancel import Cancellation, cancel, recover
from tollhouse.billing.changes.change import access_subscription, reprice
from tollhouse.billing.model import Subscription, SubscriptionState
from tollhouse.billing.renewals.renew import lease_due, load_due, renew
from tollhouse.billing.upcoming import list_upcoming
from tollhouse.kernel.errors import Invalid, NotFound

DEARER = (price(2999, "30d", repeat=True),)


async def end(billing: Billing, subscription_id: int, **changes: Any) -> Subscription:
    """Cancel."""
    return await cancel(billing.dependencies, (MERCHANT, subscription_id), Cancellation(**changes), request_id="r")


async def take_back(billing: Billing, subscription_id: int) -> Subscription:
    """Recover."""
    return await recover(billing.dependencies, (MERCHANT, subscription_id), request_id="r")


async def give_prices(billing: Billing, subscription_id: int, *prices: Any) -> Subscription:
    """Change the prices."""
    return await reprice(billing.dependencies, (MERCHANT, subscription_id), prices or DEARER, request_id="r")


async def charged(shop: Shop) -> list[int]:
    """Return the charged amounts, oldest first."""
    rows = await shop.fetch(
        "select amount_minor from transaction where status = 'success' and amount_minor > 0 order by created_at"
    )
    return [row["amount_minor"] for row in rows]


async def test_a_canceled_subscription_is_not_charged(billing: Billing) -> None:
    """A subscription canceled at once is not charged again, and its end has an event."""
    subscription_id = await billing.subscribe()
    ended = await end(billing, subscription_id, reason="too dear")
    assert (ended.state, ended.cancel_reason, ended.due_at) == (SubscriptionState.CANCELED, "too dear", None)
    assert (await billing.events())[-1] == ("cancel", "canceled")
    assert await end(billing, subscription_id) == ended
    await billing.advance(days=90)
    assert await billing.renew() == []
    assert len(await billing.events()) == 2


async def test_cancellation_at_the_next_charge_charges_nothing(billing: Billing) -> None:
    """The subscription stays active with its end date, and is canceled without a charge."""
    subscription_id = await billing.subscribe()
    planned = await end(billing, subscription_id, at_next_rebill=True)
    assert (planned.state, planned.cancel_at) == (SubscriptionState.ACTIVE, planned.renewal_at)
    assert list_upcoming(await billing.case(subscription_id), limit=5) == []
    await billing.advance(days=30, minutes=1)
    assert await billing.renew() == []
    assert await billing.summary(subscription_id) == ("canceled", 0)
    assert (await billing.events())[-1] == ("cancel", "canceled")


async def test_cancellation_at_a_date_takes_effect_then(billing: Billing) -> None:
    """Until its date the subscription is charged as before; a past date means at once."""
    subscription_id = await billing.subscribe()
    case = await billing.case(subscription_id)
    await end(billing, subscription_id, at=case.now + timedelta(days=45))
    await billing.advance(days=30, minutes=1)
    assert await billing.renew() == [(1, 1, "paid")]
    await billing.advance(days=15)
    await billing.renew()
    assert await billing.summary(subscription_id) == ("canceled", 1)
    other = await billing.subscribe()
    assert (await end(billing, other, at=case.now - timedelta(days=1))).state is SubscriptionState.CANCELED


async def test_recovery_within_the_paid_time_continues_the_schedule(billing: Billing) -> None:
    """Within the paid time a cancellation is withdrawn, and the schedule is unchanged."""
    subscription_id = await billing.subscribe()
    before = (await billing.case(subscription_id)).subscription
    await end(billing, subscription_id)
    await billing.advance(days=20)
    after = await take_back(billing, subscription_id)
    assert (after.state, after.cancel_at, after.renewal_at) == (SubscriptionState.ACTIVE, None, before.renewal_at)
    assert (await billing.events())[-1] == ("cancel", "recovered")
    await billing.advance(days=10, minutes=1)
    assert await billing.renew() == [(1, 1, "paid")]


async def test_a_planned_end_can_be_withdrawn(billing: Billing) -> None:
    """A planned end is withdrawn; an active subscription stays as it is, without an event."""
    subscription_id = await billing.subscribe()
    await take_back(billing, subscription_id)
    assert len(await billing.events()) == 1
    await end(billing, subscription_id, at_next_rebill=True)
    assert (await take_back(billing, subscription_id)).cancel_at is None
    await billing.advance(days=30, minutes=1)
    assert await billing.renew() == [(1, 1, "paid")]


async def test_recovery_after_the_paid_time_skips_missed_periods(billing: Billing) -> None:
    """Periods due meanwhile are not charged; the next date of its anchor is."""
    subscription_id = await billing.subscribe()
    before = (await billing.case(subscription_id)).subscription
    await end(billing, subscription_id)
    await billing.advance(days=71)
    after = await take_back(billing, subscription_id)
    assert (after.state, after.next_period, after.cycle) == (SubscriptionState.ACTIVE, 3, 0)
    assert after.renewal_at == before.plan.base_at + timedelta(days=90)
    assert await billing.renew() == []
    await billing.advance(days=19, minutes=1)
    assert await billing.renew() == [(3, 1, "paid")]


async def test_an_expired_subscription_cannot_be_changed(billing: Billing) -> None:
    """An expired subscription cannot be recovered, canceled or given other prices."""
    expired = await billing.subscribe()
    await billing.advance(days=31)
    billing.shop.acquirer.plan(Plan(Declined("04")))
    await billing.renew()
    for refused in (take_back(billing, expired), end(billing, expired), give_prices(billing, expired)):
        with pytest.raises(Invalid, match="expired"):
            await refused


async def test_new_prices_keep_the_next_date(billing: Billing) -> None:
    """The next charge keeps its date and has the new price."""
    subscription_id = await billing.subscribe()
    before = (await billing.case(subscription_id)).subscription
    after = await give_prices(billing, subscription_id)
    assert after.renewal_at == before.renewal_at
    for _ in range(2):
        await billing.advance(days=30, minutes=1)
        await billing.renew()
    assert await charged(billing.shop) == [999, 2999, 2999]
    assert (await billing.case(subscription_id)).subscription.renewal_at == before.plan.base_at + timedelta(days=90)


async def test_new_prices_apply_to_a_retry(billing: Billing) -> None:
    """The retry of a failed period has the new price, at its old time."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    billing.shop.acquirer.plan(Plan(Declined("51")))
    await billing.renew()
    before = (await billing.case(subscription_id)).subscription
    after = await give_prices(billing, subscription_id, price(500, "30d", repeat=True))
    assert (after.charge_at, after.state) == (before.charge_at, SubscriptionState.PAST_DUE)
    await billing.advance(days=1)
    await billing.renew()
    assert await charged(billing.shop) == [999, 500]


async def test_a_price_of_zero_clears_a_past_due_period(billing: Billing) -> None:
    """A failed period with a new price of zero leaves no debt, and the next one starts with its first attempt."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    billing.shop.acquirer.plan(Plan(Declined("51")))
    await billing.renew()
    await give_prices(billing, subscription_id, price(0, "30d"), price(500, "30d"))
    await billing.advance(days=1)
    await billing.renew()
    assert await billing.summary(subscription_id) == ("active", 0)
    await billing.advance(days=29)
    assert await billing.renew() == [(1, 1, "failed"), (2, 1, "paid")]


async def test_new_prices_after_the_last_charge_follow_the_paid_time(billing: Billing) -> None:
    """With nothing left to charge, new prices begin at the end of the paid time."""
    subscription_id = await billing.subscribe(prices=(price(100), price(500, "10d")))
    await billing.advance(days=10, minutes=1)
    await billing.renew()
    after = await give_prices(billing, subscription_id, price(700, "10d", repeat=True))
    assert after.renewal_at == after.plan.base_at == after.paid_until
    await billing.advance(days=10)
    await billing.renew()
    assert await charged(billing.shop) == [100, 500, 700]


async def renewing(billing: Billing, outcome: Any = None) -> tuple[asyncio.Event, asyncio.Task[Any]]:
    """Begin a renewal, and return when the acquirer is called: an event that lets it respond, and the worker."""
    held, asked = asyncio.Event(), asyncio.Event()
    billing.shop.acquirer.plan(Plan(outcome, hold=held))
    billing.shop.acquirer.on_authorize = lambda _: asked.set()
    task = asyncio.create_task(billing.renew())
    await asyncio.wait_for(asked.wait(), timeout=5)
    return held, task


async def test_a_charge_during_a_cancellation_is_kept(billing: Billing) -> None:
    """A charge in progress is kept; there is no other, and the subscription stays canceled."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    held, task = await renewing(billing)
    assert (await end(billing, subscription_id)).state is SubscriptionState.CANCELED
    held.set()
    assert await task == [(1, 1, "paid")]
    assert await billing.summary(subscription_id) == ("canceled", 1)
    await billing.advance(days=60)
    assert len(await billing.renew()) == 1


async def test_a_failed_charge_after_a_cancellation_is_not_retried(billing: Billing) -> None:
    """A charge that fails after the cancellation is not tried again."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    held, task = await renewing(billing, Declined("51"))
    await end(billing, subscription_id)
    held.set()
    await task
    await billing.advance(days=8)
    assert await billing.renew() == [(1, 1, "failed")]
    assert await billing.summary(subscription_id) == ("canceled", 0)


@pytest.mark.parametrize("round_", range(6))
async def test_a_cancellation_and_a_renewal_exclude_each_other(
    billing: Billing, other_billing: Billing, round_: int
) -> None:
    """The first commit wins: charged once and canceled, or canceled and not charged."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)

    async def late() -> None:
        await asyncio.sleep(round_ * 0.003)
        await end(other_billing, subscription_id)

    await asyncio.gather(billing.renew(), other_billing.renew(), late())
    await billing.renew()
    tries = await billing.tries()
    assert tries in ([], [(1, 1, "paid")])
    assert await billing.summary(subscription_id) == ("canceled", len(tries))
    assert len(billing.shop.acquirer.charged) == 1 + len(tries)


async def test_prices_set_during_a_charge_apply_to_the_next(billing: Billing) -> None:
    """A charge in progress has the old price; the new list begins with the next charge."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    held, task = await renewing(billing)
    await give_prices(billing, subscription_id, price(100, "30d"), price(2999, "30d", repeat=True))
    summarized = [each.charge for each in list_upcoming(await billing.case(subscription_id), limit=3)]
    held.set()
    await task
    for _ in range(2):
        await billing.advance(days=30)
        await billing.renew()
    assert [(each.period, each.money.amount_minor) for each in summarized] == [(1, 1999), (2, 100), (3, 2999)]
    assert summarized[0].covers_until == summarized[1].due_at
    assert await charged(billing.shop) == [999, 1999, 100, 2999]


@pytest.mark.parametrize("round_", range(6))
async def test_a_change_of_prices_charges_once(billing: Billing, other_billing: Billing, round_: int) -> None:
    """The first commit wins: the due charge is made once, by the old list or the new, and the next by the new."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)

    async def late() -> None:
        await asyncio.sleep(round_ * 0.003)
        await give_prices(other_billing, subscription_id)

    await asyncio.gather(billing.renew(), other_billing.renew(), late())
    await billing.renew()
    assert await billing.tries() == [(1, 1, "paid")]
    assert (await charged(billing.shop))[1:] in ([1999], [2999])
    await billing.advance(days=30)
    await billing.renew()
    assert (await charged(billing.shop))[2:] == [2999]


async def test_a_retry_has_the_new_price(billing: Billing) -> None:
    """If the charge in progress fails, its retry has the new price."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    held, task = await renewing(billing, Declined("51"))
    await give_prices(billing, subscription_id, price(100, "30d", repeat=True))
    held.set()
    await task
    await billing.advance(days=1)
    await billing.renew()
    assert await charged(billing.shop) == [999, 100]


async def test_a_verified_card_is_charged_from_then_on(billing: Billing) -> None:
    """A new card is verified and starts an agreement of its own."""
    subscription_id = await billing.subscribe()
    reply = await give_card(billing, subscription_id)
    verified = billing.shop.acquirer.asked[-1]
    assert (verified.money.amount_minor, verified.capture, verified.reason) == (0, False, "recurring")
    assert reply.status == 201
    await billing.advance(days=30, minutes=1)
    await billing.renew()
    renewed = billing.shop.acquirer.asked[-1]
    assert renewed.card.number.masked == "411111****1111"
    assert renewed.network_transaction_id == f"N{verified.reference}"


@pytest.mark.parametrize("code", ["51", "54", "04"])
async def test_a_decline_of_the_old_card_does_not_affect_the_new_one(billing: Billing, code: str) -> None:
    """After a decline of the old card in progress, the new card pays at once."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    held, task = await renewing(billing, Declined(code))
    await give_card(billing, subscription_id)
    held.set()
    await task
    assert await billing.renew() == [(1, 1, "failed"), (1, 2, "paid")]
    assert billing.shop.acquirer.asked[-1].card.number.masked == "411111****1111"
    assert await billing.summary(subscription_id) == ("active", 1)


async def test_a_paid_charge_on_the_old_card_counts(billing: Billing) -> None:
    """A charge in progress on the old card pays its period; the next is on the new card."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    held, task = await renewing(billing)
    await give_card(billing, subscription_id)
    held.set()
    await task
    assert await billing.renew() == [(1, 1, "paid")]
    await billing.advance(days=30)
    assert await billing.renew() == [(1, 1, "paid"), (2, 1, "paid")]
    assert billing.shop.acquirer.asked[-1].card.number.masked == "411111****1111"


async def test_a_revocation_of_all_is_of_the_card_that_was_asked(billing: Billing) -> None:
    """`R3` for the old card ends its other subscriptions, and none on the new one."""
    changed = await billing.subscribe()
    await billing.advance(days=15)
    on_old, on_new = await billing.subscribe(), await billing.subscribe(number=OTHER_NUMBER)
    await billing.advance(days=15, minutes=1)
    held, task = await renewing(billing, Declined("R3"))
    await give_card(billing, changed)
    held.set()
    await task
    await billing.renew()
    subscription_summaries = [(await billing.summary(each))[0] for each in (changed, on_old, on_new)]
    assert subscription_summaries == ["active", "expired", "active"]


async def test_another_card_after_a_revocation_charges_nothing_early(billing: Billing) -> None:
    """A new card before the worker ends a revoked subscription keeps it, due by its schedule."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=15)
    await billing.shop.value("update subscription set is_revoked = true, charge_at = now(), due_at = now()")
    await give_card(billing, subscription_id)
    assert await billing.renew() == []
    await billing.advance(days=15, minutes=1)
    assert await billing.renew() == [(1, 1, "paid")]


async def test_one_card_can_pay_two_subscriptions(billing: Billing) -> None:
    """Two subscriptions of a consumer get the same card, also with concurrent verifications."""
    first, second = await billing.subscribe(), await billing.subscribe()
    held, asked = asyncio.Event(), asyncio.Event()
    billing.shop.acquirer.plan(Plan(hold=held))
    billing.shop.acquirer.on_authorize = lambda _: asked.set()
    under_way = asyncio.create_task(give_card(billing, first))
    await asyncio.wait_for(asked.wait(), timeout=5)
    summarized = [await give_card(billing, second)]
    held.set()
    summarized.insert(0, await under_way)
    assert [json.loads(reply.body)["subscription"]["id"] for reply in summarized] == [str(first), str(second)]
    accounts = {(await billing.case(each)).subscription.account_id for each in (first, second)}
    assert len(accounts) == 1
    assert [each.card.number.masked for each in billing.shop.acquirer.asked[-2:]] == ["411111****1111"] * 2


async def test_a_declined_verification_changes_nothing(billing: Billing) -> None:
    """A card that fails its verification changes nothing."""
    subscription_id = await billing.subscribe()
    billing.shop.acquirer.plan(Plan(Declined("05")))
    before = await billing.case(subscription_id)
    await give_card(billing, subscription_id)
    assert (await billing.case(subscription_id)).subscription == before.subscription


async def test_a_new_card_pays_the_past_due_charge(billing: Billing) -> None:
    """A subscription that waits for a new card is charged as soon as it has one."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    billing.shop.acquirer.plan(Plan(Declined("54")))
    await billing.renew()
    await billing.advance(days=3)
    assert len(await billing.renew()) == 1
    await give_card(billing, subscription_id)
    assert await billing.renew() == [(1, 1, "failed"), (1, 2, "paid")]
    assert await billing.summary(subscription_id) == ("active", 1)


async def test_a_card_of_another_consumer_is_rejected(billing: Billing) -> None:
    """A stored card of another consumer is rejected; an ended subscription accepts no card."""
    subscription_id = await billing.subscribe()
    paid = await billing.shop.pay(consumer_id="user-2", number=OTHER_NUMBER)
    theirs = paid.payment["source"]["paymentAccountId"]
    with pytest.raises(Invalid) as refused:
        await give_card(billing, subscription_id, kind="paymentAccountId", account_id=theirs, card=None, code=None)
    assert faults_in(refused.value) == {"source": ["belongs to another consumer than the subscription"]}
    await end(billing, subscription_id)
    with pytest.raises(Invalid, match="canceled"):
        await give_card(billing, subscription_id)


async def test_another_merchants_subscription_is_unknown(billing: Billing) -> None:
    """Another merchant's subscription is unknown, and so is one whose first payment is open."""
    subscription_id = await billing.subscribe()
    with pytest.raises(NotFound):
        await access_subscription(billing.dependencies, (2, subscription_id))
    await billing.shop.begin(prices=(price(999), price(1999, "30d")))
    [pending] = await billing.shop.fetch("select subscription_id from subscription where status = 'pending'")
    with pytest.raises(NotFound):
        await access_subscription(billing.dependencies, (MERCHANT, pending["subscription_id"]))


async def test_upcoming_charges_are_made(billing: Billing) -> None:
    """Listed charges are made on the listed day with the listed amount."""
    schedule = (price(0), price(500, "3d"), price(900, "1m", repeat=3), price(1999, "2w", repeat=True))
    subscription_id = await billing.subscribe(prices=schedule)
    summarized = [each.charge for each in list_upcoming(await billing.case(subscription_id), limit=7)]
    for charge in summarized:
        case = await billing.case(subscription_id)
        await billing.advance(seconds=(charge.due_at - case.now).total_seconds() + 1)
        await billing.renew()
    rows = await billing.shop.fetch(
        """
        select r.period, r.due_at, t.amount_minor
        from renewal r join transaction t using (merchant_id, transaction_id)
        order by r.period
        """
    )
    assert [tuple(row) for row in rows] == [(each.period, each.due_at, each.money.amount_minor) for each in summarized]
    assert sum(row["amount_minor"] for row in rows) == 500 + 3 * 900 + 3 * 1999


async def test_a_renewal_of_a_changed_subscription_is_no_error(billing: Billing) -> None:
    """A renewal whose subscription changed since its lease does not begin, and no error is logged."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    [due] = await load_due(billing.dependencies, await lease_due(billing.dependencies, limit=10))
    await give_prices(billing, subscription_id, price(2999, "30d", repeat=True))
    with capture_logs() as logs:
        assert await renew(billing.dependencies, due) is None
        await billing.shop.quiet()
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
