"""Each due period is charged once, on the stored card, by the merchant; missed periods are charged slowly."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from tests.support.acquirer import Plan
from tests.support.billing import Billing
from tests.support.shop import Shop, all_at_once, price

from tollhouse.acquirers.model import Declined
from tollhouse.billing.model import SubscriptionState
from tollhouse.billing.renewals.renew import lease_due, load_due, renew


async def test_a_period_is_not_charged_early(billing: Billing) -> None:
    """A period is not charged a second before its time."""
    await billing.subscribe()
    await billing.advance(days=30, seconds=-60)
    assert await billing.renew() == []


async def test_a_period_is_charged_when_due(billing: Billing) -> None:
    """A due period is charged once, and the next one is due by the schedule, not by the payment."""
    subscription_id = await billing.subscribe()
    signed_up = (await billing.case(subscription_id)).subscription.plan.base_at
    await billing.advance(days=30, hours=5)
    assert await billing.renew() == [(1, 1, "paid")]
    assert await billing.renew() == [(1, 1, "paid")]
    after = (await billing.case(subscription_id)).subscription
    assert (after.state, after.cycle, after.next_period) == (SubscriptionState.ACTIVE, 1, 2)
    assert after.renewal_at == after.charge_at == signed_up + timedelta(days=60)
    assert len(billing.shop.acquirer.charged) == 2


async def test_a_renewal_is_initiated_by_the_merchant(billing: Billing) -> None:
    """A renewal is sent as merchant-initiated, with the sign-up's network transaction ID and no security code."""
    await billing.subscribe()
    sign_up = billing.shop.acquirer.asked[-1]
    await billing.advance(days=31)
    await billing.renew()
    asked = billing.shop.acquirer.asked[-1]
    assert (asked.initiator, asked.reason, asked.cvv, asked.capture) == ("merchant", "recurring", None, True)
    assert asked.network_transaction_id == f"N{sign_up.reference}"
    assert asked.card.number.masked == sign_up.card.number.masked
    assert asked.money.amount_minor == 1999


async def test_a_renewal_is_a_new_order(billing: Billing) -> None:
    """A renewal is a payment of its own with the sign-up's metadata, and its event has the cycle."""
    subscription_id = await billing.subscribe(metadata='{"wp_order_id": 7}')
    await billing.advance(days=31)
    await billing.renew()
    [sign_up, renewed] = [
        json.loads(row["body"]) for row in await billing.shop.fetch("select body from event order by position")
    ]
    assert renewed["payment"]["orderId"] != sign_up["payment"]["orderId"]
    assert renewed["metadata"] == {"wp_order_id": 7}
    assert renewed["payment"]["mode"] == "sale"
    assert renewed["payment"]["amount"] == 19.99
    summarized = renewed["subscription"]
    assert (summarized["id"], summarized["status"], summarized["cycle"]) == (str(subscription_id), "active", 1)
    stored = (await billing.case(subscription_id)).subscription.renewal_at
    assert stored is not None
    assert summarized["renewalDate"] == stored.strftime("%Y-%m-%d %H:%M:%S")


async def test_two_workers_charge_once(billing: Billing, other_billing: Billing) -> None:
    """Several concurrent workers renew each subscription once."""
    for number in range(20):
        await billing.subscribe(external_id=f"user-{number}")
    await billing.advance(days=30, minutes=1)
    await asyncio.gather(*(each.renew() for each in (billing, other_billing, billing, other_billing)))
    assert await billing.tries() == [(1, 1, "paid")] * 20


async def test_a_killed_worker_loses_nothing(billing: Billing) -> None:
    """After a crash behind the acquirer call the resolver finds the charge, and it is not repeated."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    held, asked = asyncio.Event(), asyncio.Event()
    billing.shop.acquirer.plan(Plan(hold=held))
    billing.shop.acquirer.on_authorize = lambda _: asked.set()
    renewing = asyncio.create_task(billing.renew())
    await asyncio.wait_for(asked.wait(), timeout=5)
    reference = billing.shop.acquirer.asked[-1].reference
    await billing.shop.die()
    renewing.cancel()
    await asyncio.gather(renewing, return_exceptions=True)
    billing.shop.acquirer.books[reference] = billing.shop.acquirer.books[next(iter(billing.shop.acquirer.books))]
    assert await billing.tries() == [(1, 1, "open")]
    assert await billing.renew() == [(1, 1, "open")]
    await billing.shop.resolve(int(reference.partition("-")[0]))
    assert await billing.renew() == [(1, 1, "paid")]
    assert await billing.summary(subscription_id) == ("active", 1)


async def test_an_unknown_outcome_is_not_retried(billing: Billing) -> None:
    """While the outcome is unknown the period is not tried again."""
    await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    billing.shop.acquirer.plan(Plan(lost="answer"))
    assert await billing.renew() == [(1, 1, "open")]
    await billing.advance(days=3)
    assert await billing.renew() == [(1, 1, "open")]
    [transaction_id] = [row["transaction_id"] for row in await billing.shop.fetch("select transaction_id from renewal")]
    await billing.shop.resolve(transaction_id)
    assert await billing.tries() == [(1, 1, "paid")]


async def test_missed_periods_come_a_day_apart(billing: Billing) -> None:
    """After a long outage the oldest missed period is charged first, at most one a day."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=95)
    assert await billing.renew() == [(1, 1, "paid")]
    await billing.advance(hours=23)
    assert await billing.renew() == [(1, 1, "paid")]
    for period in (2, 3):
        await billing.advance(hours=25)
        assert (await billing.renew())[-1] == (period, 1, "paid")
    await billing.advance(hours=25)
    assert len(await billing.renew()) == 3
    after = (await billing.case(subscription_id)).subscription
    assert after.charge_at == after.renewal_at == after.plan.base_at + timedelta(days=120)


async def test_a_finished_schedule_expires(billing: Billing) -> None:
    """A schedule with a count charges so often, and expires after the paid time."""
    subscription_id = await billing.subscribe(prices=(price(100), price(500, "10d", repeat=2)))
    for _ in range(2):
        await billing.advance(days=10, minutes=1)
        await billing.renew()
    assert await billing.summary(subscription_id) == ("active", 2)
    await billing.advance(days=9)
    await billing.renew()
    assert await billing.summary(subscription_id) == ("active", 2)
    await billing.advance(days=1)
    await billing.renew()
    assert await billing.summary(subscription_id) == ("expired", 2)
    assert (await billing.events())[-1] == ("cancel", "canceled")
    await billing.advance(days=100)
    assert len(await billing.renew()) == 2


async def test_a_trial_becomes_active(billing: Billing) -> None:
    """A free sign-up is a trial until its first charge."""
    subscription_id = await billing.subscribe(prices=(price(0), price(500, "7d"), price(1999, "1m", repeat=True)))
    assert await billing.summary(subscription_id) == ("trial", 0)
    await billing.advance(days=7, minutes=1)
    await billing.renew()
    assert await billing.summary(subscription_id) == ("active", 1)


async def test_a_free_period_is_skipped(billing: Billing) -> None:
    """A period with a price of zero is no payment and no cycle."""
    subscription_id = await billing.subscribe(prices=(price(100), price(0, "10d"), price(500, "10d")))
    await billing.advance(days=10, minutes=1)
    assert await billing.renew() == []
    await billing.advance(days=10)
    assert await billing.renew() == [(2, 1, "paid")]
    assert await billing.summary(subscription_id) == ("active", 1)


async def test_a_bundle_renews_each_by_its_own_schedule(shop: Shop, billing: Billing) -> None:
    """Two subscriptions of one sign-up are charged separately."""
    paid = await shop.pay(prices=(price(100), price(300, "10d", repeat=True)))
    await shop.pay(prices=(price(100), price(300, "10d", repeat=True)))
    await billing.advance(days=10, minutes=1)
    assert await billing.renew() == [(1, 1, "paid")] * 2
    assert paid.body["subscription"]["cycle"] == 0


async def test_a_disabled_card_is_renewed(billing: Billing) -> None:
    """A card that is disabled for new payments is charged for its subscriptions."""
    subscription_id = await billing.subscribe()
    await billing.shop.value("update account set disabled = true")
    await billing.advance(days=30, minutes=1)
    await billing.renew()
    assert await billing.summary(subscription_id) == ("active", 1)


async def test_a_blocked_consumer_is_not_charged(billing: Billing) -> None:
    """The subscription of a blacklisted consumer ends without an acquirer call."""
    subscription_id = await billing.subscribe()
    await billing.shop.value("update consumer set group_id = 2")
    await billing.advance(days=30, minutes=1)
    assert await billing.renew() == [(1, 1, "failed")]
    assert await billing.summary(subscription_id) == ("expired", 0)
    assert len(billing.shop.acquirer.asked) == 1


async def test_a_disabled_merchant_charges_nothing(billing: Billing) -> None:
    """While a merchant is disabled nothing is charged; afterwards due periods are."""
    await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    await billing.shop.value("update merchant set state = 'disabled' where merchant_id = 1")
    assert await billing.renew() == []
    await billing.shop.value("update merchant set state = 'active' where merchant_id = 1")
    await billing.shop.value("update subscription set lease_until = now()")
    assert await billing.renew() == [(1, 1, "paid")]


async def test_other_merchants_keep_their_time(billing: Billing) -> None:
    """Advancing one merchant's clock changes no other's."""
    await billing.subscribe()
    await billing.shop.value("update subscription set merchant_id = 2")
    await billing.advance(days=40)
    assert await billing.renew() == []


async def test_a_lease_that_was_lost_charges_nothing(billing: Billing) -> None:
    """A renewal whose subscription another worker has leased since does not begin."""
    await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    [due] = await load_due(billing.dependencies, await lease_due(billing.dependencies, limit=10))
    await billing.shop.value("update subscription set lease_until = now() - interval '1 s'")
    await lease_due(billing.dependencies, limit=10)
    before = await billing.shop.value("select count(*) from payment")
    assert await renew(billing.dependencies, due) is None
    assert await billing.shop.value("select count(*) from payment") == before
    assert await billing.tries() == []


async def test_the_database_lets_no_second_charge_in(billing: Billing) -> None:
    """A unique index rejects a second open or paid attempt for a period."""
    await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    await billing.renew()
    again = """
        insert into renewal (
            merchant_id, transaction_id, payment_id, subscription_id, period, try, account_id, state, due_at, tried_at
        )
        select merchant_id, transaction_id + 1, payment_id, subscription_id, period, try + 1, account_id, 'open',
            due_at, tried_at
        from renewal
    """
    [error] = await all_at_once(billing.shop.value(again))
    assert "renewal_once" in str(error)


@pytest.mark.parametrize("code", ["51", "05", "91"])
async def test_a_failed_renewal_is_retried_by_the_schedule(billing: Billing, code: str) -> None:
    """A failed renewal is past due, retried after 1, 3, 5 and 7 days, and then expires."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    billing.shop.acquirer.plan(*[Plan(Declined(code))] * 5)
    await billing.renew()
    assert await billing.summary(subscription_id) == ("past_due", 0)
    for days in (1, 2, 2, 2):
        await billing.advance(days=days, hours=-1)
        tries = len(await billing.renew())
        await billing.advance(hours=1)
        assert len(await billing.renew()) == tries + 1
    assert await billing.tries() == [(1, number, "failed") for number in range(1, 6)]
    assert await billing.summary(subscription_id) == ("expired", 0)
    assert (await billing.events())[-2:] == [("sale", "fail"), ("cancel", "canceled")]


async def test_a_late_payment_returns_to_the_anchor(billing: Billing) -> None:
    """A paid retry makes the subscription active, and the next period is due by the schedule."""
    subscription_id = await billing.subscribe()
    signed_up = (await billing.case(subscription_id)).subscription.plan.base_at
    await billing.advance(days=30, minutes=1)
    billing.shop.acquirer.plan(Plan(Declined("51")), Plan(Declined("51")))
    await billing.renew()
    for days in (1, 2):
        await billing.advance(days=days)
        await billing.renew()
    after = (await billing.case(subscription_id)).subscription
    assert (after.state, after.cycle, after.tries) == (SubscriptionState.ACTIVE, 1, 0)
    assert after.renewal_at == after.charge_at == signed_up + timedelta(days=60)


async def test_the_event_of_a_failed_renewal_has_its_subscription(billing: Billing) -> None:
    """The event shows the subscription as past due."""
    await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    billing.shop.acquirer.plan(Plan(Declined("51")))
    await billing.renew()
    summarized: Any = json.loads(await billing.shop.value("select body from event order by position desc limit 1"))
    assert (summarized["payment"]["status"], summarized["subscription"]["status"]) == ("fail", "past_due")


@pytest.mark.parametrize(
    ("decline", "state", "reason"),
    [
        (Declined("04"), "expired", "refused"),
        (Declined("R0"), "expired", "revoked"),
        (Declined("R1"), "expired", "revoked"),
        (Declined("54"), "past_due", None),
        (Declined("1A"), "past_due", None),
    ],
)
async def test_declines_that_are_not_tried_again(
    billing: Billing, decline: Declined, state: str, reason: str | None
) -> None:
    """A decline for good ends a subscription; one that needs a new card makes it wait."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    billing.shop.acquirer.plan(Plan(decline))
    await billing.renew()
    after = (await billing.case(subscription_id)).subscription
    assert (after.state.value, after.ended_with and after.ended_with.value) == (state, reason)
    await billing.advance(days=29)
    assert len(await billing.renew()) == 1
    await billing.advance(days=2)
    assert len(await billing.renew()) == 1
    assert (await billing.summary(subscription_id))[0] == "expired"


async def test_a_revocation_of_all_ends_all_on_the_card(billing: Billing) -> None:
    """`R3` ends every subscription on that card of this merchant, and no other."""
    ids = [await billing.subscribe() for _ in range(3)]
    other = await billing.subscribe(number="4111111111111111", consumer_id="user-2")
    await billing.advance(days=30, minutes=1)
    billing.shop.acquirer.plan(Plan(Declined("R3")))
    await billing.renew_each()
    await billing.renew()
    subscription_summaries = [(await billing.summary(each))[0] for each in ids]
    assert subscription_summaries.count("expired") >= 1
    await billing.advance(days=31)
    await billing.renew()
    assert [(await billing.summary(each))[0] for each in ids] == ["expired"] * 3
    assert (await billing.summary(other))[0] == "active"


async def test_a_site_has_its_own_retry_days(billing: Billing) -> None:
    """A site's own days replace the default ones."""
    await billing.set_policy("2,4")
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    billing.shop.acquirer.plan(*[Plan(Declined("51"))] * 3)
    await billing.renew()
    await billing.advance(days=1, hours=23)
    assert len(await billing.renew()) == 1
    await billing.advance(hours=1)
    assert len(await billing.renew()) == 2
    await billing.advance(days=2)
    assert len(await billing.renew()) == 3
    assert (await billing.summary(subscription_id))[0] == "expired"


async def test_leases_expire(billing: Billing) -> None:
    """A leased renewal that did not begin is due again when its lease expires."""
    await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    assert len(await lease_due(billing.dependencies, limit=10)) == 1
    assert await billing.renew() == []
    await billing.shop.value("update subscription set lease_until = now()")
    assert await billing.renew() == [(1, 1, "paid")]
