"""Who hears that a subscription has ended: the consumer by letter, the merchant by callback, where asked for."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest
from tests.support.callbacks import Endpoint, open_endpoint, wait_until
from tests.support.due import send_due_emails
from tests.support.subscribing import read, sign_up
from tests.support.webshop import REDIRECT_URL, OpenShop, WebShop, card, consumer

from tollhouse.kernel.urls import STAGE
from tollhouse.notices.transport import RecordingMailTransport
from tollhouse.worker.events import deliver_events, number_events


async def letters(shop: WebShop) -> list[Any]:
    """Return the letters about subscriptions that were written, oldest first."""
    return await shop.fetch("select * from notice where subscription_id is not null order by notice_id")


@pytest.mark.parametrize("is_wished", [True, "true", 1])
async def test_end_is_emailed_once(shop: WebShop, is_wished: Any) -> None:
    """The consumer is told once, what has ended and when; carried, it stands in the inbox."""
    subscriber = await sign_up(shop)
    for _ in range(2):
        read(await subscriber.put("/cancel", {"sendEmail": is_wished}))
    [letter] = await letters(shop)
    facts = json.loads(letter["facts"])
    assert (letter["recipient"], letter["language"], letter["state"]) == ("jane@shop.example", "en", "waiting")
    assert (facts["kind"], facts["shop"], facts["title"]) == ("cancellation", "shop1.example", "Premium Monthly")
    assert facts["subscription_id"] == subscriber.subscription_id
    await send_due_emails(shop.gateway.database, RecordingMailTransport())
    assert [each["state"] for each in await letters(shop)] == ["sent"]


@pytest.mark.parametrize("body", [[], {"sendEmail": False}, {"sendEmail": "0"}, {"sendEmail": None}])
async def test_no_email_without_a_request(shop: WebShop, body: Any) -> None:
    """Who does not ask for a letter has none written."""
    subscriber = await sign_up(shop)
    await subscriber.put("/cancel", body)
    assert await letters(shop) == []


@pytest.mark.parametrize("more", [{"keepActiveUntilNextRebill": True}, {"cancelDate": "2099-01-01 00:00:00"}])
async def test_planned_cancellation_is_emailed_at_its_date(shop: WebShop, more: dict[str, Any]) -> None:
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


async def test_undone_cancellation_is_not_emailed(shop: WebShop) -> None:
    """A cancellation that was taken back before it took effect is told to nobody; one after it is told for itself."""
    subscriber = await sign_up(shop)
    await subscriber.put("/cancel", {"sendEmail": True, "keepActiveUntilNextRebill": True})
    await subscriber.put("/recover")
    await subscriber.renew(days=30, minutes=1)
    assert await letters(shop) == []
    for _ in range(2):
        await subscriber.put("/cancel", {"sendEmail": True})
        await subscriber.put("/recover")
        await subscriber.renew(days=0, minutes=1)  # an end is known by its second
    assert len(await letters(shop)) == 2


async def test_email_goes_to_the_recipient_of_receipts(shop: WebShop) -> None:
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


async def test_no_email_is_stored_without_a_mail_server(opened: OpenShop) -> None:
    """Where no letter is carried none is written, with people's addresses in it; the end is told to the merchant."""
    live = await opened(environment="live")
    urls = {"ipnUrl": "https://shop.example/ipn", "redirectUrl": "https://shop.example/thanks"}
    subscriber = await sign_up(live, url=urls, paymentSource={"type": "card"} | card(expirationYear="40"))
    await subscriber.put("/cancel", {"sendEmail": True})
    assert await letters(live) == []
    assert (await subscriber.events())[-1] == "canceled"


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


async def test_events_are_posted_by_default(shop: WebShop) -> None:
    """Each has a payment of its own that moves nothing, signed like any other; a site may turn them off."""
    async with open_endpoint(200) as endpoint:
        url = {"ipnUrl": endpoint.url, "redirectUrl": REDIRECT_URL}
        site = f"/site/{shop.merchant.site_id}"
        assert read(await shop.get(site))["subscriptionEvents"] is True
        told = await sign_up(shop, url=url, metadata={"order": 7})
        await told.put("/cancel", {"keepActiveUntilNextRebill": True, "reason": "Too dear"})
        await told.put("/recover")
        await told.put("/cancel", headers={"X-Request-ID": "why"})
        assert read(await shop.put(site, {"subscriptionEvents": "false"}))["subscriptionEvents"] is False
        await told.put("/recover")
        quiet = await sign_up(shop, url=url)
        await quiet.put("/cancel")
        await work(shop, endpoint, count=5)
    bodies = [json.loads(seen.body) for seen in endpoint.seen]
    posted = [(body, seen) for body, seen in zip(bodies, endpoint.seen, strict=True) if "cancel" in seen.body.decode()]
    posted = [(body, seen) for body, seen in posted if body["payment"]["action"] == "cancel"]
    assert [body["payment"]["status"] for body, _ in posted] == ["delayed", "recovered", "canceled"]
    for body, seen in posted:
        assert set(body) == {"payment", "subscription", "consumer", "metadata", "timestamp"}
        payment = body["payment"]
        assert {name: payment[name] for name in ("code", "description", "mode", "amount", "currency")} == {
            "code": "0", "description": "APPROVED", "mode": "cancel", "amount": 0, "currency": "USD",
        }  # fmt: skip
        assert payment["orderId"] == told.answer["payment"]["orderId"]
        signed = hashlib.sha256(f"secret{payment['transactionId']}{payment['status']}".encode()).hexdigest()
        assert seen.headers["X-Signature"] == signed
        assert (body["metadata"], body["consumer"]["id"]) == ({"order": 7}, told.answer["consumer"]["id"])
        assert body["subscription"]["eventTime"] == body["timestamp"]["dateTime"]
    reasons = [body["payment"].get("reason") for body, _ in posted]
    assert reasons == ["Too dear", None, "canceled by the merchant"]
    assert posted[-1][1].headers["X-Request-ID"] == "why"
    ids = {body["payment"]["transactionId"] for body in bodies}
    assert len(ids) == len(bodies)
    listed = read(await shop.get("/events"))["data"]
    assert [(event["kind"], event["status"]) for event in listed].count(("cancel", "canceled")) == 2
    [last] = [body for body, _ in posted if body["payment"]["status"] == "canceled"]
    record = read(await shop.get(f"/transaction/{last['payment']['transactionId']}/ipn"))
    assert (record["state"], record["orderId"]) == ("delivered", last["payment"]["orderId"])
    assert json.loads(record["request"]) == last


async def test_event_of_an_unpaid_end_has_the_decline(shop: WebShop) -> None:
    """What its renewals ended is told as canceled, with the code of the decline, under the last order that was paid."""
    subscriber = await sign_up(shop)
    await subscriber.renew(days=30, minutes=1)
    paid = (await subscriber.charged())[-1]
    assert paid
    await subscriber.change_card({"type": "card", "emulateCode": "0000"} | card("decline_43"))
    await subscriber.renew(days=30, minutes=1)
    assert (await subscriber.get())["status"] == "expired"
    last = (await shop.fetch("select kind, status, body from event order by position"))[-1]
    body = json.loads(last["body"])
    assert (last["kind"], last["status"], body["subscription"]["status"]) == ("cancel", "canceled", "expired")
    payment = body["payment"]
    [row] = await shop.fetch("select payment_id::text from renewal where state = 'paid'")
    assert (payment["reason"], payment["orderId"]) == ("rebill declined, 5043", row["payment_id"])


async def test_plugin_format_posts_no_subscription_events(shop: WebShop) -> None:
    """The preset of the plugin has no word for what happens to a subscription, and posts none; it is recorded."""
    site = f"/site/{shop.merchant.site_id}"
    await shop.put(site, {"ipnFormat": "plugin"})
    subscriber = await sign_up(shop)
    await subscriber.put("/cancel")
    rows = await shop.fetch("select kind, url from event order by position")
    assert [(row["kind"], bool(row["url"])) for row in rows] == [("sale", True), ("cancel", False)]
