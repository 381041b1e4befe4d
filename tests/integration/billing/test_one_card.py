"""One card number at a merchant, used by several consumers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.acquirer import Plan
from tests.support.billing import Billing
from tests.support.shop import price

from tollhouse.acquirers.model import Declined

#: Of a scheme whose careful limit is 7 declines in 30 days.
DISCOVER = "6011000990139424"
OTHER_CARD = "4111111111111111"


async def subscribe_consumers(billing: Billing, count: int, **changes: object) -> list[int]:
    """Sign up so many consumers with the same card."""
    return [await billing.subscribe(external_id=f"user-{number}", **changes) for number in range(count)]


async def shift(billing: Billing, subscription_id: int, *, days: int) -> None:
    """Make a subscription due so many days later."""
    await billing.shop.value(
        "update subscription set charge_at = charge_at + $2, due_at = due_at + $2 where subscription_id = $1",
        subscription_id,
        timedelta(days=days),
    )


async def states(billing: Billing, ids: list[int]) -> list[str]:
    """Return the states of subscriptions."""
    return [(await billing.summary(each))[0] for each in ids]


async def test_a_revocation_of_all_ends_all_on_the_card(billing: Billing) -> None:
    """`R3` ends every subscription on the card, of all consumers, and none on another card."""
    other = await billing.subscribe(number=OTHER_CARD, external_id="other")
    ids = await subscribe_consumers(billing, 3)
    await billing.advance(days=30, minutes=-1)
    await shift(billing, ids[1], days=-1)
    billing.shop.acquirer.plan(Plan(Declined("R3")))
    await billing.renew()
    await billing.renew()
    assert await states(billing, ids) == ["expired"] * 3
    assert await states(billing, [other]) == ["active"]
    assert len(await billing.tries()) == 1


@pytest.mark.parametrize("decline", [Declined("04"), Declined("51", advice_code="03")], ids=["category 1", "advice 03"])
async def test_a_card_declined_for_good_is_not_tried_again(billing: Billing, decline: Declined) -> None:
    """It is not tried for another consumer's subscription, which ends when it is due."""
    ids = await subscribe_consumers(billing, 2)
    await shift(billing, ids[1], days=5)
    await billing.advance(days=30, minutes=1)
    billing.shop.acquirer.plan(Plan(decline))
    await billing.renew()
    assert await states(billing, ids) == ["expired", "active"]
    await billing.advance(days=5)
    assert len(await billing.renew()) == 1
    assert await states(billing, ids) == ["expired", "expired"]
    assert (await billing.events())[-1] == ("cancel", "canceled")


async def test_a_card_that_is_approved_again_is_charged_again(billing: Billing) -> None:
    """A sign-up with a card that was declined for good and is approved now is renewed."""
    await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    billing.shop.acquirer.plan(Plan(Declined("04")))
    await billing.renew()
    again = await billing.subscribe(external_id="again")
    await billing.advance(days=30, minutes=1)
    await billing.renew()
    assert await billing.summary(again) == ("active", 1)


async def test_the_limits_of_schemes_count_the_card(billing: Billing) -> None:
    """Declines count against the limit of the card's scheme for all consumers together."""
    ids = await subscribe_consumers(billing, 9, number=DISCOVER)
    await billing.advance(days=30, minutes=1)
    billing.shop.acquirer.plan(*[Plan(Declined("51"))] * 9)
    await billing.renew_each()
    await billing.renew()
    declined_at = await billing.shop.value("select count(*) from renewal where is_decline")
    assert len(ids) == 9
    assert declined_at >= 7
    await billing.advance(days=7)
    assert await billing.renew() == await billing.renew()
    assert await billing.shop.value("select count(*) from renewal where try > 1") == 0


@pytest.mark.slow
async def test_failures_that_are_no_declines_count_for_no_limit(billing: Billing) -> None:
    """A subscription whose acquirer is unavailable for days is charged when it is available again."""
    subscription_id = await billing.subscribe(number=DISCOVER, prices=(price(999), price(100, "1d", repeat=True)))
    await billing.advance(days=1)
    for _ in range(60):
        billing.shop.acquirer.plan(Plan(not_sent=True))
        await billing.renew()
        await billing.advance(hours=1, seconds=2)
    assert await billing.summary(subscription_id) == ("past_due", 0)
    billing.shop.acquirer.plans.clear()
    for cycle in range(1, 4):
        await billing.renew()
        assert await billing.summary(subscription_id) == ("active", cycle)
        await billing.advance(days=1)
