"""Cards that expire, and updates from the account updater."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.acquirer import Plan
from tests.support.billing import Billing
from tests.support.shop import OTHER_NUMBER, card, price

from tollhouse.acquirers.model import AskCardholder, Closed, Declined, NotSent, Unchanged, Updated
from tollhouse.billing.schedule import card_ends_at, choose_card_check
from tollhouse.kernel.card import Expiry
from tollhouse.worker.subscriptions import check_due_cards

YEARLY = (price(999), price(1999, "1y", repeat=True))
EXPIRING = "subscription.card_expiring"


async def advance_to_expiry(billing: Billing, subscription_id: int, **before: float) -> None:
    """Advance the merchant's time to shortly before the card of a subscription expires."""
    case = await billing.case(subscription_id)
    wanted = datetime(2030, 1, 1, tzinfo=UTC) - timedelta(**before)
    await billing.advance(seconds=(wanted - case.now).total_seconds())


async def test_a_site_is_notified_before_a_card_expires(billing: Billing) -> None:
    """A month before a card expires its site gets one event, and none earlier."""
    subscription_id = await billing.subscribe(prices=YEARLY)
    await advance_to_expiry(billing, subscription_id, days=31)
    assert await check_due_cards(billing.dependencies) == 0
    await billing.advance(days=1, minutes=1)
    for _ in range(2):
        await check_due_cards(billing.dependencies)
        await billing.advance(hours=2)
    assert [kind for kind, _ in await billing.events()].count(EXPIRING) == 1
    summarized = json.loads(await billing.shop.value("select body from event where kind = $1", EXPIRING))
    assert summarized["event"] == EXPIRING
    assert summarized["subscription"]["id"] == str(subscription_id)


async def test_a_new_date_is_charged_without_an_event(billing: Billing) -> None:
    """A card with a new date is charged with it, causes no event, and is checked again before the new date."""
    subscription_id = await billing.subscribe(prices=YEARLY)
    await advance_to_expiry(billing, subscription_id, days=29)
    billing.shop.acquirer.updates.append(Updated(card(month=6, year=2033)))
    await check_due_cards(billing.dependencies)
    assert [kind for kind, _ in await billing.events()] == ["sale"]
    after = (await billing.case(subscription_id)).subscription
    assert after.check_card_at == datetime(2033, 6, 1, tzinfo=UTC)
    await billing.advance(days=365)
    await billing.renew()
    assert billing.shop.acquirer.asked[-1].card.expiry == Expiry(6, 2033)


async def test_a_new_number_keeps_the_agreement(billing: Billing) -> None:
    """All subscriptions on the card get the new number, with the agreement's network transaction ID."""
    ids = [await billing.subscribe(prices=YEARLY) for _ in range(2)]
    sign_ups = {f"N{each.reference}" for each in billing.shop.acquirer.asked}
    await advance_to_expiry(billing, ids[0], days=29)
    billing.shop.acquirer.updates.append(Updated(card(OTHER_NUMBER, year=2034)))
    await check_due_cards(billing.dependencies)
    accounts = {(await billing.case(each)).subscription.account_id for each in ids}
    assert len(accounts) == 1
    await billing.advance(days=365)
    await billing.renew_each()
    asked = billing.shop.acquirer.asked[-2:]
    assert {each.card.number.masked for each in asked} == {"411111****1111"}
    assert {each.network_transaction_id for each in asked} == sign_ups


@pytest.mark.parametrize("answer", [Closed(), AskCardholder(), Unchanged()])
async def test_without_an_update_the_site_is_notified(
    billing: Billing, answer: Closed | AskCardholder | Unchanged
) -> None:
    """After any other response of the updater the site gets the event."""
    subscription_id = await billing.subscribe(prices=YEARLY)
    await advance_to_expiry(billing, subscription_id, days=29)
    billing.shop.acquirer.updates.append(answer)
    await check_due_cards(billing.dependencies)
    assert (await billing.events())[-1][0] == EXPIRING


async def test_an_unavailable_updater_is_queried_again(billing: Billing) -> None:
    """An unavailable updater is queried again after an hour, and no event is recorded before that."""
    subscription_id = await billing.subscribe(prices=YEARLY)
    await advance_to_expiry(billing, subscription_id, days=29)
    billing.shop.acquirer.updates.append(NotSent("away"))
    assert await check_due_cards(billing.dependencies) == 1
    assert await check_due_cards(billing.dependencies) == 0
    assert len(await billing.events()) == 1
    await billing.advance(hours=1, minutes=1)
    assert await check_due_cards(billing.dependencies) == 1
    assert (await billing.events())[-1][0] == EXPIRING


async def test_a_declined_card_is_checked(billing: Billing) -> None:
    """A card that was declined for good is checked at once; a new one pays the past-due charge."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    billing.shop.acquirer.plan(Plan(Declined("54")))
    await billing.renew()
    billing.shop.acquirer.updates.append(Updated(card(year=2035)))
    assert await check_due_cards(billing.dependencies) == 1
    assert await billing.renew() == [(1, 1, "failed"), (1, 2, "paid")]
    assert await billing.summary(subscription_id) == ("active", 1)
    assert EXPIRING not in [kind for kind, _ in await billing.events()]


async def test_a_second_check_causes_no_second_event(billing: Billing) -> None:
    """A card whose expiry was reported is checked again after a decline, without a second event."""
    subscription_id = await billing.subscribe(prices=(price(999), price(1999, "10d", repeat=True)))
    await billing.shop.value("update subscription set charge_at = '2029-12-20Z', due_at = '2029-12-20Z'")
    await advance_to_expiry(billing, subscription_id, days=29)
    await check_due_cards(billing.dependencies)
    await billing.advance(days=20)
    billing.shop.acquirer.plan(Plan(Declined("54")))
    await billing.shop.value("update subscription set anchor_at = '2029-12-10Z'")
    await billing.renew()
    assert await billing.summary(subscription_id) == ("past_due", 0)
    assert await check_due_cards(billing.dependencies) == 1
    assert [kind for kind, _ in await billing.events()].count(EXPIRING) == 1


async def test_an_ended_subscription_has_no_card_event(billing: Billing) -> None:
    """The card of a subscription that is over causes no event."""
    subscription_id = await billing.subscribe(prices=YEARLY)
    await billing.shop.value("update subscription set status = 'canceled', due_at = null")
    await advance_to_expiry(billing, subscription_id, days=29)
    await check_due_cards(billing.dependencies)
    assert len(await billing.events()) == 1


@pytest.mark.parametrize(
    ("month", "year", "ends"),
    [(12, 2029, (2030, 1)), (2, 2028, (2028, 3)), (1, 2031, (2031, 2))],
)
def test_a_card_is_good_through_its_month(month: int, year: int, ends: tuple[int, int]) -> None:
    """A card is valid until the end of the month that is printed on it."""
    assert card_ends_at(Expiry(month, year)) == datetime(*ends, 1, tzinfo=UTC)


def test_a_card_is_checked_thirty_days_before_its_end() -> None:
    """Within the last thirty days it is checked at once, after its expiry never."""
    end = datetime(2030, 1, 1, tzinfo=UTC)
    expiry = Expiry(12, 2029)
    assert choose_card_check(expiry, end - timedelta(days=400)) == end - timedelta(days=30)
    assert choose_card_check(expiry, end - timedelta(days=3)) == end - timedelta(days=3)
    assert choose_card_check(expiry, end) is None
