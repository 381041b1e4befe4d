"""A subscription begins with a payment, and shares its fate."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from tests.support.acquirer import Plan, approve
from tests.support.shop import Shop, claim, price

from tollhouse.acquirers.model import Declined

SCHEDULE = (price(999), price(1999, "30d", repeat=True))


async def subscriptions(shop: Shop) -> list[dict[str, Any]]:
    """Return the subscriptions that are stored."""
    return [
        dict(row) for row in await shop.fetch("select *, status::text as state from subscription order by anchor_at")
    ]


async def test_it_is_pending_with_the_intention(shop: Shop) -> None:
    """The intention of a payment records its subscription, with the schedule as it was agreed."""
    payment = await shop.begin(prices=SCHEDULE)
    [row] = await subscriptions(shop)
    assert (row["state"], row["payment_id"], row["renewal_at"], row["cycle"]) == (
        "pending",
        payment.payment_id,
        None,
        0,
    )
    assert [(each["offset"], each["repeat"]) for each in json.loads(row["prices"])] == [("0d", False), ("30d", True)]
    assert row["account_id"] == payment.source.account_id
    assert row["consumer_id"] == payment.consumer_id


async def test_approval_starts_it(shop: Shop) -> None:
    """With the approval it is active from that second, and what is told is what is stored."""
    paid = await shop.pay(sku_name="MONTHLY")
    [row] = await subscriptions(shop)
    summarized = paid.body["subscription"]
    settled_at = (await shop.stored(paid.transaction_id)).settled_at
    assert settled_at is not None
    settled_at = settled_at.replace(microsecond=0)
    assert (row["state"], row["anchor_at"], row["renewal_at"]) == (
        "active",
        settled_at,
        settled_at + timedelta(days=30),
    )
    assert (summarized["id"], summarized["status"], summarized["skuName"]) == (
        str(row["subscription_id"]),
        "active",
        "MONTHLY",
    )
    assert summarized["renewalDate"] == row["renewal_at"].strftime("%Y-%m-%d %H:%M:%S")
    assert summarized["consumerId"] == paid.body["consumer"]["id"]
    assert summarized["siteId"] == "100"


async def test_a_free_beginning_is_a_trial(shop: Shop) -> None:
    """A schedule that begins with nothing is on trial after the card was verified."""
    paid = await shop.pay(prices=(price(0), price(1999, "7d")))
    assert (await subscriptions(shop))[0]["state"] == paid.body["subscription"]["status"] == "trial"


async def test_a_decline_forgets_it(shop: Shop) -> None:
    """A declined first payment leaves no subscription, in the answer, the event or the table."""
    shop.acquirer.plan(Plan(Declined("51")))
    paid = await shop.pay(prices=SCHEDULE)
    assert await subscriptions(shop) == []
    assert "subscription" not in paid.body
    assert b"subscription" not in await shop.value("select body from event")


@pytest.mark.parametrize("booked", [True, False])
async def test_a_crash_loses_nothing(shop: Shop, *, booked: bool) -> None:
    """Whoever settles the payment settles the subscription: here the resolver, after a crash."""
    payment = await shop.begin(prices=SCHEDULE, claim=claim("r1"))
    reference = payment.attempt.reference
    shop.acquirer.books[reference] = approve(reference) if booked else Declined("05")
    await shop.resolve(payment.transaction_id)
    assert [row["state"] for row in await subscriptions(shop)] == (["active"] if booked else [])
    again = await shop.pay(prices=SCHEDULE, claim=claim("r1"))
    assert ("subscription" in again.body) is booked


async def test_each_payment_starts_its_own(shop: Shop) -> None:
    """Two payments for one SKU are two subscriptions; a one-time sale is none."""
    first, second = await shop.pay(sku_name="MONTHLY"), await shop.pay(sku_name="MONTHLY")
    assert first.body["subscription"]["id"] != second.body["subscription"]["id"]
    await shop.pay()
    assert [row["state"] for row in await subscriptions(shop)] == ["active", "active"]


async def test_a_started_one_is_not_forgotten(shop: Shop) -> None:
    """What has started is beyond the reach of its first payment."""
    paid = await shop.pay(sku_name="MONTHLY")
    await shop.resolve(paid.transaction_id)
    assert len(await subscriptions(shop)) == 1


async def test_a_batch_settles_each_its_own(shop: Shop) -> None:
    """Approved and declined sign-ups of one batch are told apart."""
    shop.acquirer.plan(*(Plan(Declined("05")) if n % 2 else Plan() for n in range(10)))
    paid = await asyncio.gather(*(shop.pay(sku_name="MONTHLY", external_id=f"user-{n}") for n in range(10)))
    approved = {each.body["subscription"]["id"] for each in paid if each.outcome[0] == "success"}
    assert {str(row["subscription_id"]) for row in await subscriptions(shop)} == approved
    assert len(approved) == 5
