"""Callbacks in every form, read back, sent again; events and the feed, by pages."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.golden.flow import Flow, plain_card
from tests.support.webshop import price

FORMS = ("json", "legacy", "both", "plugin", "none")


async def forms(flow: Flow) -> None:
    """Post what happens in every form that a site may choose: sales, declines, holds, operations, chargebacks."""
    for form in FORMS:
        changed = await flow.shop.put(f"/site/{flow.shop.merchant.site_id}", {"ipnFormat": form})
        assert changed.status_code == 200, changed.text
        sold = await flow.pay(metadata={"form": form, "nested": {"a": ["ä", 1.5, True]}}, consumer=flow.buyer(form))
        await flow.pay("decline_51", consumer=flow.buyer(f"{form}-declined"))
        held = await flow.hold(consumer=flow.buyer(f"{form}-held"))
        await flow.act(held, "capture", {"amount": 5})
        await flow.act(sold, "credit", {"amount": 3})
        await flow.shop.post(f"/stage/chargeback/{sold['payment']['transactionId']}", {"amount": 2})
        await flow.pay(
            sku=flow.shop.sku(price(1), price(2, offset="30d", repeat=True)), consumer=flow.buyer(f"{form}-sub")
        )
        await flow.tell_callbacks()
    await flow.tell_rows()


async def subscription_events(flow: Flow) -> None:
    """Tell every event of a subscription where a site wants them."""
    await flow.shop.put(f"/site/{flow.shop.merchant.site_id}", {"subscriptionEvents": True})
    made = await flow.pay(sku=flow.shop.sku(price(1), price(2, offset="30d", repeat=True)))
    path = f"/subscription/{made['subscription']['id']}"
    await flow.advance("31d")
    await flow.shop.put(f"{path}/paymentAccount", {"paymentSource": {"type": "card"} | plain_card("mastercard")})
    await flow.shop.put(path, {"price": [price(3, offset="1d", repeat=True)]})
    await flow.shop.put(f"{path}/cancel", {"keepActiveUntilNextRebill": True})
    await flow.shop.put(f"{path}/recover", [])
    await flow.shop.put(f"{path}/cancel", {"reason": "too dear", "sendEmail": True})
    await flow.tell_callbacks()
    await flow.tell_rows()


async def read_back(flow: Flow) -> None:
    """Look up callbacks, send them again, to elsewhere too, and refuse addresses that may not be called."""
    shop, sold = flow.shop, await flow.pay()
    transaction, order = sold["payment"]["transactionId"], sold["payment"]["orderId"]
    await shop.get(f"/transaction/{transaction}/ipn")
    await flow.tell_callbacks()
    for path in (f"/transaction/{transaction}/ipn", f"/order/{order}/ipn", "/transaction/1/ipn", "/order/x/ipn"):
        await shop.get(path)
    for url in ("http://169.254.169.254/latest", "http://a:b@127.0.0.1/", "ftp://x", 7):
        await shop.post(f"/transaction/{transaction}/ipn", {"url": url})
    await shop.post("/transaction/1/ipn", [])
    async with flow.working():
        for _ in range(2):
            await shop.post(f"/transaction/{transaction}/ipn", [], headers={"X-Request-ID": "again-1"})
        await shop.post(f"/transaction/{transaction}/ipn", {"url": f"{flow.endpoint.url}/elsewhere"})
    await shop.get(f"/order/{order}/ipn")
    await flow.tell_callbacks()
    await shop.get(f"/transaction/{transaction}/ipn", key=shop.other.key)


async def feed(flow: Flow) -> None:
    """Read the feed and the events by every filter and by pages."""
    shop = flow.shop
    for number in range(3):
        await flow.pay(metadata={"n": number}, headers={"X-Request-ID": f"sale-{number}"})
    sold = await flow.pay("decline_51", consumer=flow.buyer("declined"))
    held = await flow.hold(consumer=flow.buyer("held"))
    await flow.act(held, "void")
    await flow.tell_callbacks()
    for query in (
        "limit=2",
        "status=fail",
        "mode=void",
        "mode=auth&status=success",
        f"orderId={sold['payment']['orderId']}",
        "requestId=sale-1",
        "externalId=nobody",
        "status=perhaps&mode=x&limit=0",
        "cursor=x",
        "from=2030-01-15&to=2030-01-16",
        "unknown=1",
    ):
        await shop.get(f"/feed/transactions?{query}")
    page = (await shop.get("/feed/transactions?limit=4")).json()
    await shop.get(f"/feed/transactions?limit=4&cursor={quote(page['meta']['cursor'])}")
    for query in ("", "?limit=2", "?after=0&limit=1", "?after=x", "?limit=0"):
        await shop.get(f"/events{query}")
    bodies: tuple[Any, ...] = ({}, {"from": 1, "to": 2}, {"first": 1, "last": 2}, [])
    for body in bodies:
        await shop.post("/events/resend", body)
    await flow.tell_callbacks()


async def legacy(flow: Flow) -> None:
    """Ask the legacy endpoint as the plugin does."""
    client, path = flow.shop.client, "/epayment/lib/paypage_api/pay.php"
    named = {
        "fmt": "json",
        "method": "get_ustas_or_create",
        "username": "jane@shop.example",
        "external_user_id": "wp__7",
    }
    for fields in (
        named,
        named,
        named | {"external_user_id": ""},
        named | {"method": "pay"},
        {"method": "get"},
        {"method": "get", "ustas": "cnobody", "sku_name": "TECH_1", "customer_remote_addr": "203.0.113.45"},
        {},
    ):
        await client.post(path, data={"authentication_key": flow.shop.merchant.key} | fields)
    await client.post(path, data=named)
    await client.post(path, data=named | {"authentication_key": "x" * 300})
    await client.get(path)
    await flow.tell_rows()
