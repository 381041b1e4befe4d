"""Operations on a sign-up, and the last card of its consumer."""

from __future__ import annotations

import pytest
from tests.support.billing import MONTHLY, Billing, give_card
from tests.support.shop import NUMBER, OTHER_NUMBER, price

FREE_AT_FIRST = (price(0), price(1999, "30d", repeat=True))
THIRD_NUMBER = "5555555555554444"


# ---------------------------------------------------------------- voids and refunds


async def test_a_void_of_the_sign_up_ends_the_subscription(billing: Billing) -> None:
    """A voided sign-up cancels its subscription at once, with an event."""
    paid = await billing.shop.pay(prices=MONTHLY)
    subscription_id = int(paid.body["subscription"]["id"])
    await billing.shop.void(paid.transaction_id)
    ended = (await billing.case(subscription_id)).subscription
    assert (ended.state.value, ended.cancel_reason) == ("canceled", "The sign-up was voided.")
    assert sorted((await billing.events())[-2:]) == [("cancel", "canceled"), ("void", "success")]
    await billing.advance(days=90)
    assert await billing.renew() == []


async def test_a_void_of_the_sign_up_ends_each_subscription_of_a_bundle(billing: Billing) -> None:
    """A void of a bundle's sign-up ends all its subscriptions, once."""
    paid = await billing.shop.pay(prices=MONTHLY)
    other = await billing.subscribe(external_id="other")
    await billing.shop.void(paid.transaction_id, request="r")
    await billing.shop.void(paid.transaction_id, request="r")
    rows = await billing.shop.fetch("select status::text from subscription order by subscription_id")
    assert [row["status"] for row in rows] == ["canceled", "active"]
    assert (await billing.summary(other))[0] == "active"
    assert [kind for kind, _ in await billing.events()].count("cancel") == 1


@pytest.mark.parametrize("amount", [None, "1.00"])
async def test_a_refund_leaves_the_subscription(billing: Billing, amount: str | None) -> None:
    """A full or partial refund of the sign-up leaves its subscription running."""
    paid = await billing.shop.pay(prices=MONTHLY)
    await billing.shop.credit(paid.transaction_id, amount)
    assert await billing.summary(int(paid.body["subscription"]["id"])) == ("active", 0)


async def test_a_void_of_a_renewal_leaves_the_subscription(billing: Billing) -> None:
    """A void of a renewal voids that charge alone."""
    subscription_id = await billing.subscribe()
    await billing.advance(days=30, minutes=1)
    await billing.renew()
    transaction_id = await billing.shop.value("select transaction_id from renewal")
    await billing.shop.void(transaction_id)
    assert await billing.summary(subscription_id) == ("active", 1)


async def test_a_void_of_an_open_sign_up_leaves_no_subscription(billing: Billing) -> None:
    """A sign-up that is reversed before its outcome starts no subscription."""
    pending = await billing.shop.begin(prices=MONTHLY)
    await billing.shop.void(pending.transaction_id)
    rows = await billing.shop.fetch("select status::text from subscription where status <> 'pending'")
    assert rows == []


async def test_a_sign_up_is_voided_while_its_subscription_is_over(billing: Billing) -> None:
    """A subscription that is over is unchanged."""
    paid = await billing.shop.pay(prices=MONTHLY)
    await billing.shop.value("update subscription set status = 'expired', due_at = null")
    await billing.shop.void(paid.transaction_id)
    assert (await billing.summary(int(paid.body["subscription"]["id"])))[0] == "expired"


# ---------------------------------------------------------------- the card of the source `consumer`


async def pay_again(billing: Billing, consumer_id: str) -> str:
    """Pay with the source `consumer`, and return the masked number of the card that paid."""
    paid = await billing.shop.pay(source_consumer_id=consumer_id)
    return str(paid.payment["source"]["number"])


def mask(number: str) -> str:
    """Return a masked number."""
    return f"{number[:6]}****{number[-4:]}"


async def test_a_renewal_does_not_switch_the_card_of_the_consumer(billing: Billing) -> None:
    """After a renewal the source `consumer` charges the card of the consumer's last payment."""
    paid = await billing.shop.pay(prices=MONTHLY, number=NUMBER)
    await billing.shop.pay(number=OTHER_NUMBER)
    await billing.advance(days=30, minutes=1)
    assert await billing.renew() == [(1, 1, "paid")]
    assert await pay_again(billing, paid.body["consumer"]["id"]) == mask(OTHER_NUMBER)


async def test_a_charge_by_the_merchant_does_not_switch_the_card(billing: Billing) -> None:
    """A merchant-initiated charge does not change the consumer's last card."""
    paid = await billing.shop.pay(number=NUMBER)
    await billing.shop.pay(number=OTHER_NUMBER)
    await billing.shop.pay(account_id=paid.payment["source"]["paymentAccountId"], initiator="merchant")
    assert await pay_again(billing, paid.body["consumer"]["id"]) == mask(OTHER_NUMBER)


async def test_a_verification_does_not_switch_a_card_that_paid(billing: Billing) -> None:
    """A verified card does not replace a card that has paid."""
    paid = await billing.shop.pay(prices=MONTHLY, number=NUMBER)
    await give_card(billing, int(paid.body["subscription"]["id"]), consumer_id=None)
    await billing.shop.pay(prices=FREE_AT_FIRST, number=THIRD_NUMBER)
    assert await pay_again(billing, paid.body["consumer"]["id"]) == mask(NUMBER)


async def test_without_a_payment_the_card_last_verified_counts(billing: Billing) -> None:
    """Without a payment the last verified card is charged, then the card that paid."""
    first = await billing.shop.pay(prices=FREE_AT_FIRST, number=NUMBER)
    await billing.shop.pay(prices=FREE_AT_FIRST, number=OTHER_NUMBER)
    consumer_id = first.body["consumer"]["id"]
    assert await pay_again(billing, consumer_id) == mask(OTHER_NUMBER)
    await billing.shop.pay(prices=FREE_AT_FIRST, number=NUMBER)
    assert await pay_again(billing, consumer_id) == mask(OTHER_NUMBER)
