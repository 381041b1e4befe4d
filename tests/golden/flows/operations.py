"""What is done with payments later: captures, voids, refunds, chargebacks, and links to repay them."""

from __future__ import annotations

from typing import Any

from tests.golden.flow import Flow
from tests.support.webshop import price


async def captures(flow: Flow) -> None:
    """Capture in parts, in all, too much, twice, by a repeated id, and by the schedule of the price."""
    held = await flow.hold()
    await flow.act(held, "capture", {"amount": 5})
    await flow.act(held, "capture", {"amount": 500})
    await flow.act(held, "capture", {"amount": "x", "reason": 7})
    for _ in range(2):
        await flow.act(held, "capture", headers={"X-Request-ID": "capture-1"})
    await flow.act(held, "capture", {"amount": 1}, headers={"X-Request-ID": "capture-1"})
    await flow.act(held, "capture")
    await flow.act({"payment": {"transactionId": "1"}}, "capture")
    await flow.act(held, "capture", key=flow.shop.other.key)
    await flow.hold(offset="2d", consumer=flow.buyer("scheduled"))
    await flow.advance("3d")
    await flow.tell_callbacks()
    await flow.shop.get(f"/payment/{held['payment']['transactionId']}")
    await flow.tell_rows()


async def voids(flow: Flow) -> None:
    """Void a hold, a sale, a captured hold and a refunded sale; twice, and by a repeated id."""
    held, sold = await flow.hold(), await flow.pay(consumer=flow.buyer("buys"))
    for made in (held, held, sold, sold):
        await flow.act(made, "void", {"reason": "changed their mind"})
    captured = await flow.hold(consumer=flow.buyer("captured"))
    await flow.act(captured, "capture", {"amount": 7})
    await flow.act(captured, "void")
    refunded = await flow.pay(consumer=flow.buyer("refunded"))
    await flow.act(refunded, "credit", {"amount": 3})
    await flow.act(refunded, "void")
    declined = await flow.pay("decline_05", consumer=flow.buyer("declined"))
    await flow.act(declined, "void")
    once = await flow.hold(consumer=flow.buyer("once"))
    bodies: tuple[Any, ...] = ({}, {}, {"reason": "other"})
    for body in bodies:
        await flow.act(once, "void", body, headers={"X-Request-ID": "void-1"})
    await flow.hold(consumer=flow.buyer("expires"), offset="40d")
    await flow.advance("45d")
    await flow.tell_callbacks()
    await flow.tell_rows()


async def refunds(flow: Flow) -> None:
    """Refund in parts, in all, too much, and by a repeated id; of a sale, a capture and a decline."""
    sold = await flow.pay()
    await flow.act(sold, "credit", {"amount": 5, "reason": "late"})
    for _ in range(2):
        await flow.act(sold, "credit", {"amount": "2.50"}, headers={"X-Request-ID": "credit-1"})
    await flow.act(sold, "credit", {"amount": 3}, headers={"X-Request-ID": "credit-1"})
    bodies: tuple[Any, ...] = ({"amount": 100}, {"amount": -1}, {"amount": "x"}, [], {})
    for body in bodies:
        await flow.act(sold, "credit", body)
    held = await flow.hold(consumer=flow.buyer("held"))
    await flow.act(held, "credit")
    captured = await flow.act(held, "capture", {"amount": 10})
    await flow.act(captured, "credit", {"amount": 4})
    await flow.act(held, "credit", {"amount": 6})
    declined = await flow.pay("decline_05", consumer=flow.buyer("declined"))
    await flow.act(declined, "credit")
    yen = await flow.pay(sku=flow.shop.sku(price(1500, "JPY")), consumer=flow.buyer("yen"))
    for amount in (0.5, 500):
        await flow.act(yen, "credit", {"amount": amount})
    await flow.tell_callbacks()
    await flow.shop.get(f"/payment/{sold['payment']['transactionId']}/timeline")
    await flow.tell_rows()


async def chargebacks(flow: Flow) -> None:
    """Take a sale through every step of a dispute, repay another by its link, and refuse what cannot be."""
    shop, sold = flow.shop, await flow.pay(metadata={"cart": 7})
    path = f"/stage/chargeback/{sold['payment']['transactionId']}"
    bodies: tuple[Any, ...] = (
        {"reason": "Fraud"},
        {"step": "second"},
        {"step": "collection"},
        {"step": "won"},
        {"step": "never"},
    )
    for body in bodies:
        await shop.post(path, body)
    other = await flow.pay(consumer=flow.buyer("other"))
    made = await shop.post(
        f"/stage/chargeback/{other['payment']['transactionId']}", {"reason": "Not received", "amount": 5}
    )
    charged_back = made.json()["payment"]["transactionId"]
    for each in (charged_back, charged_back, other["payment"]["transactionId"], "1", "x"):
        await shop.get(f"/chargeback/{each}/repaidLink")
    await shop.post("/stage/chargeback/1", [])
    declined = await flow.pay("decline_05", consumer=flow.buyer("declined"))
    await shop.post(f"/stage/chargeback/{declined['payment']['transactionId']}", [])
    await flow.act(other, "credit")
    await flow.pay("charged_back", consumer=flow.buyer("charged-back"))
    await flow.advance("4d")
    await flow.tell_callbacks()
    await shop.get("/feed/transactions?mode=chargebackFirst")
    await flow.tell_rows()


async def outages(flow: Flow) -> None:
    """Pay and refund while the issuer loses messages and responses, and let the worker find out what became of them."""
    shop = flow.shop
    for fault in ("dropAfter", "dropBefore", "duplicate", "latency", "nonsense"):
        await shop.post("/stage/faults", {"fault": fault} | ({"seconds": 0.01} if fault == "latency" else {}))
        paid = await flow.pay(consumer=flow.buyer(fault))
        await shop.get("/stage/faults")
        if "payment" in paid:
            await shop.get(f"/payment/{paid['payment']['transactionId']}")
        await shop.client.delete("/stage/faults", headers={"Authorization": shop.merchant.key})
    await shop.post("/stage/faults", {"fault": "dropAfter", "calls": 0, "other": 1})
