"""Who hears that a subscription has ended: the consumer by letter, the merchant by callback, where asked for."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest
from tests.support.callbacks import Endpoint, open_endpoint, wait_until
from tests.support.subscribing import read, sign_up
from tests.support.webshop import REDIRECT_URL, OpenShop, WebShop, card, consumer

from tollhouse.kernel.urls import STAGE
from tollhouse.notices.carrier import ShownCarrier
from tollhouse.notices.deliver import deliver_due
from tollhouse.worker.events import deliver_events, number_events


async def letters(shop: WebShop) -> list[Any]:
    """Return the letters about subscriptions that were written, oldest first."""
    return await shop.fetch("select * from notice where subscription_id is not null order by notice_id")


@pytest.mark.parametrize("is_wished", [True, "true", 1])
async def test_a_letter_at_the_end(shop: WebShop, is_wished: Any) -> None:
    """The consumer is told once, what has ended and when; carried, it stands in the inbox."""
    subscriber = await sign_up(shop)
    for _ in range(2):
        read(await subscriber.put("/cancel", {"sendEmail": is_wished}))
    [letter] = await letters(shop)
    facts = json.loads(letter["facts"])
    assert (letter["recipient"], letter["language"], letter["state"]) == ("jane@shop.example", "en", "waiting")
    assert (facts["kind"], facts["shop"], facts["title"]) == ("cancellation", "shop1.example", "Premium Monthly")
    assert facts["subscription_id"] == subscriber.subscription_id
    await deliver_due(shop.gateway.database, ShownCarrier())
    assert [each["state"] for each in await letters(shop)] == ["sent"]


@pytest.mark.parametrize("body", [[], {"sendEmail": False}, {"sendEmail": "0"}, {"sendEmail": None}])
async def test_no_letter_unasked(shop: WebShop, body: Any) -> None:
    """Who does not ask for a letter has none written."""
    subscriber = await sign_up(shop)
    await subscriber.put("/cancel", body)
    assert await letters(shop) == []


@pytest.mark.parametrize("more", [{"keepActiveUntilNextRebill": True}, {"cancelDate": "2099-01-01 00:00:00"}])
async def test_a_letter_when_it_takes_effect(shop: WebShop, more: dict[str, Any]) -> None:
    """A cancellation for later is told when it takes effect, and not before."""
    subscriber = await sign_up(shop)
    await subscriber.put("/cancel", {"sendEmail": True} | more)
    assert await letters(shop) == []
    if "cancelDate" in more:
        await shop.execute("update subscription set cancel_at = now() + interval '1 day', due_at = now()")
    await subscriber.renew(days=30, minutes=1)
    [letter] = await letters(shop)
    [row] = await shop.fetch("select cancel_at from subscription")
    assert letter["occurred_at"] == row["cancel_at"]


async def test_no_letter_of_what_was_taken_back(shop: WebShop) -> None:
    """A cancellation that was taken back before it took effect is told to nobody; one after it is told for itself."""
    subscriber = await sign_up(shop)
    await subscriber.put("/cancel", {"sendEmail": True, "keepActiveUntilNextRebill": True})
    await subscriber.put("/recover")
    await subscriber.renew(days=30, minutes=1)
    assert await letters(shop) == []
    for _ in range(2):
        await subscriber.put("/cancel", {"sendEmail": True})
        await subscriber.put("/recover")
    assert len(await letters(shop)) == 2


async def test_to_whom(shop: WebShop) -> None:
    """It goes where the receipts go, in their language, else to the consumer; where there is no address, to nobody."""
    for changes in (
        {"emailOptions": {"to": "accounts@firm.example", "language": "de"}},
        {"consumer": consumer(browserLanguage="fr-CA", email="jean@shop.example")},
        {"consumer": consumer(email=None)},
        {"consumer": consumer(email="jané@shop.example")},
    ):
        subscriber = await sign_up(shop, **changes)
        assert read(await subscriber.put("/cancel", {"sendEmail": True}))["status"] == "canceled"
    assert [(letter["recipient"], letter["language"]) for letter in await letters(shop)] == [
        ("accounts@firm.example", "de"),
        ("jean@shop.example", "fr-CA"),
    ]


async def test_nobody_carries_letters(opened: OpenShop) -> None:
    """Where no letter is carried none is written, with people's addresses in it; the end is told to the merchant."""
    live = await opened(environment="live")
    urls = {"ipnUrl": "https://shop.example/ipn", "redirectUrl": "https://shop.example/thanks"}
    subscriber = await sign_up(live, url=urls, paymentSource={"type": "card"} | card(expirationYear="40"))
    await subscriber.put("/cancel", {"sendEmail": True})
    assert await letters(live) == []
    assert (await subscriber.events())[-1] == "subscription.canceled"


async def work(shop: WebShop, endpoint: Endpoint, *, count: int) -> None:
    """Number and deliver events, as a worker does, until so many have arrived."""
    stop, numbered = asyncio.Event(), asyncio.Event()
    database = shop.gateway.database
    async with asyncio.TaskGroup() as group:
        group.create_task(number_events(database, stop=stop, wake=shop.gateway.wake, numbered=numbered))
        group.create_task(
            deliver_events(database, secrets_of=shop.gateway.secrets.of, policy=STAGE, stop=stop, wake=numbered)
        )
        await wait_until(lambda: len(endpoint.seen) >= count)
        stop.set()
        shop.gateway.wake.set()
        numbered.set()


async def test_events_are_posted_when_the_site_asks(shop: WebShop) -> None:
    """They are always listed, and posted where the site asks for it, signed over the subscription and its status."""
    async with open_endpoint(200) as endpoint:
        url = {"ipnUrl": endpoint.url, "redirectUrl": REDIRECT_URL}
        quiet = await sign_up(shop, url=url)
        await quiet.put("/cancel")
        site = f"/site/{shop.merchant.site_id}"
        assert read(await shop.get(site))["subscriptionEvents"] is False
        assert read(await shop.put(site, {"subscriptionEvents": "true"}))["subscriptionEvents"] is True
        told = await sign_up(shop, url=url, metadata={"order": 7})
        await told.put("/cancel", headers={"X-Request-ID": "why"})
        await told.put("/recover")
        await work(shop, endpoint, count=4)
    bodies = [json.loads(seen.body) for seen in endpoint.seen]
    posted = [(body, seen) for body, seen in zip(bodies, endpoint.seen, strict=True) if "payment" not in body]
    assert [body["event"] for body, _ in posted] == ["subscription.canceled", "subscription.recovered"]
    body, seen = posted[0]
    assert set(body) == {"event", "subscription", "consumer", "metadata", "timestamp"}
    assert (body["metadata"], body["consumer"]["id"]) == ({"order": 7}, told.answer["consumer"]["id"])
    assert body["subscription"]["eventTime"] == body["timestamp"]["dateTime"]
    signed = hashlib.sha256(f"secret{told.subscription_id}canceled".encode()).hexdigest()
    assert (seen.headers["X-Signature"], seen.headers["X-Request-ID"]) == (signed, "why")
    listed = read(await shop.get("/events"))["data"]
    assert [event["kind"] for event in listed].count("subscription.canceled") == 2
