"""Subscriptions begin and finish with their first payment."""

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
    """Return the stored subscriptions."""
    return [
        dict(row) for row in await shop.fetch("select *, status::text as state from subscription order by anchor_at")
    ]


async def test_a_subscription_is_pending_with_its_payment(shop: Shop) -> None:
    """When a payment begins, its subscription is stored with the agreed schedule."""
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


async def test_approval_starts_the_subscription(shop: Shop) -> None:
    """The approval makes it active from that second, and the response equals the stored row."""
    paid = await shop.pay(sku_name="MONTHLY")
    [row] = await subscriptions(shop)
    summarized = paid.body["subscription"]
    finished_at = (await shop.stored(paid.transaction_id)).finished_at
    assert finished_at is not None
    finished_at = finished_at.replace(microsecond=0)
    assert (row["state"], row["anchor_at"], row["renewal_at"]) == (
        "active",
        finished_at,
        finished_at + timedelta(days=30),
    )
    assert (summarized["id"], summarized["status"], summarized["skuName"]) == (
        str(row["subscription_id"]),
        "active",
        "MONTHLY",
    )
    assert summarized["renewalDate"] == row["renewal_at"].strftime("%Y-%m-%d %H:%M:%S")
    assert summarized["consumerId"] == paid.body["consumer"]["id"]
    assert summarized["siteId"] == "100"


async def test_a_free_sign_up_is_a_trial(shop: Shop) -> None:
    """A schedule that begins with zero is a trial after the card was verified."""
    paid = await shop.pay(prices=(price(0), price(1999, "7d")))
    assert (await subscriptions(shop))[0]["state"] == paid.body["subscription"]["status"] == "trial"


async def test_a_decline_deletes_the_subscription(shop: Shop) -> None:
    """A declined first payment has no subscription in response, event or table."""
    shop.acquirer.plan(Plan(Declined("51")))
    paid = await shop.pay(prices=SCHEDULE)
    assert await subscriptions(shop) == []
    assert "subscription" not in paid.body
    assert b"subscription" not in await shop.value("select body from event")


@pytest.mark.parametrize("booked", [True, False])
async def test_a_crash_loses_nothing(shop: Shop, *, booked: bool) -> None:
    """The resolver finishes payment and subscription together after a crash."""
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


async def test_a_started_subscription_is_not_deleted(shop: Shop) -> None:
    """After its start a subscription is not deleted by its first payment."""
    paid = await shop.pay(sku_name="MONTHLY")
    await shop.resolve(paid.transaction_id)
    assert len(await subscriptions(shop)) == 1


async def test_a_batch_finishes_each_subscription(shop: Shop) -> None:
    """Approved and declined sign-ups of one batch have their own outcomes."""
    shop.acquirer.plan(*(Plan(Declined("05")) if n % 2 else Plan() for n in range(10)))
    paid = await asyncio.gather(*(shop.pay(sku_name="MONTHLY", external_id=f"user-{n}") for n in range(10)))
    approved = {each.body["subscription"]["id"] for each in paid if each.outcome[0] == "success"}
    assert {str(row["subscription_id"]) for row in await subscriptions(shop)} == approved
    assert len(approved) == 5
