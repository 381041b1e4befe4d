"""Subscriptions: sign-ups, renewals by the clock, declines, and changes by the merchant."""

from __future__ import annotations

from typing import Any

from tests.golden.flow import Flow, plain_card
from tests.support.webshop import price

MONTHLY = (price(9.99), price(19.99, offset="30d", repeat=True))
TRIAL = (price(0), price(19.99, offset="7d", repeat=True))


async def sign_up(flow: Flow, *prices: Any, source: Any = "visa", **changes: Any) -> str:
    """Sign up, and return the subscription's path."""
    made = await flow.pay(source, sku=flow.shop.sku(*(prices or MONTHLY)), **changes)
    return f"/subscription/{made['subscription']['id']}" if "subscription" in made else "/subscription/1"


async def renewals(flow: Flow) -> None:
    """Sign up, read, and live through two months; a trial; a product of the catalog; a sign-up that is declined."""
    path = await sign_up(flow)
    await flow.shop.get(path)
    await flow.shop.get(f"{path}/upcoming?limit=3")
    await flow.shop.get("/stage/clock")
    for _ in range(2):
        await flow.advance("31d")
        await flow.shop.get(path)
    await flow.tell_callbacks()
    trial = await sign_up(flow, *TRIAL, consumer=flow.buyer("tries"))
    await flow.pay(sku={"name": "PREMIUM_MONTHLY"}, consumer=flow.buyer("catalog"))
    await sign_up(flow, source="decline_51", consumer=flow.buyer("declined"))
    await flow.advance("8d")
    await flow.shop.get(trial)
    await flow.tell_callbacks()
    await flow.tell_rows()


async def changes(flow: Flow) -> None:
    """Change price and card, cancel now and later, recover, and refuse what cannot be changed."""
    shop, path = flow.shop, await sign_up(flow)
    bodies: tuple[Any, ...] = (
        [],
        {"price": [price(5), price(7, offset="1w", repeat=True)]},
        {"price": [price(-1), price("x", offset="30d"), price(1, "ZZZ")]},
        {"price": [price(repeat=True)]},
        {"price": "x"},
    )
    for body in bodies:
        await shop.put(path, body)
    await shop.get(f"{path}/upcoming")
    await shop.get(f"{path}/upcoming?limit=x")
    for source in (
        {"type": "card"} | plain_card("mastercard"),
        {"type": "card"} | plain_card("decline_05"),
        {"type": "card", "number": "1"},
        {"type": "token", "token": "x"},
        {},
    ):
        await shop.put(f"{path}/paymentAccount", {"paymentSource": source})
    steps: tuple[tuple[str, Any], ...] = (
        ("cancel", {"atNextRebill": True, "reason": "too dear"}),
        ("recover", []),
        ("recover", []),
        ("cancel", {"cancelDate": "2030-02-01 00:00:00"}),
        ("cancel", {"cancelDate": "yesterday", "reason": 7}),
        ("cancel", []),
        ("cancel", []),
        ("recover", []),
        ("cancel", {"sendEmail": True}),
    )
    for step, body in steps:
        await shop.put(f"{path}/{step}", body)
    await shop.get(path)
    for missing in ("/subscription/1", "/subscription/x"):
        await shop.get(missing)
        await shop.put(missing, [])
        await shop.put(f"{missing}/cancel", [])
    await shop.get(path, key=shop.other.key)
    await flow.tell_callbacks()
    await flow.tell_rows()


async def dunning(flow: Flow) -> None:
    """Renew with a card that is declined from the second charge on, until the subscription ends."""
    path = await sign_up(flow)
    await flow.shop.put(f"{path}/paymentAccount", {"paymentSource": {"type": "card"} | plain_card("renewal_after_1")})
    flow.tape.is_on = False
    await flow.shop.get(path)
    flow.tape.is_on = True
    for by in ("31d", "PT80H", "31d"):
        await flow.advance(by)
        await flow.shop.get(path)
    await flow.tell_callbacks()
    await flow.tell_rows()


async def previews(flow: Flow) -> None:
    """Preview sign-ups, with faults and without."""
    bodies: tuple[Any, ...] = (
        {"sku": flow.shop.sku(*MONTHLY)},
        {"sku": flow.shop.sku(*TRIAL)},
        {"sku": {"name": "PREMIUM_MONTHLY"}},
        {"sku": {"name": "GOLD"}},
        {"price": list(MONTHLY)},
        {},
    )
    for body in bodies:
        await flow.shop.post("/subscription/preview", body)


async def ended_by_refund(flow: Flow) -> None:
    """Void and refund the payment of a subscription, and charge one back."""
    for name, step in (("voids", "void"), ("refunds", "credit")):
        made = await flow.pay(sku=flow.shop.sku(*MONTHLY), consumer=flow.buyer(name))
        await flow.act(made, step)
        await flow.shop.get(f"/subscription/{made['subscription']['id']}")
    made = await flow.pay(sku=flow.shop.sku(*MONTHLY), consumer=flow.buyer("charged-back"))
    await flow.shop.post(f"/stage/chargeback/{made['payment']['transactionId']}", [])
    await flow.shop.get(f"/subscription/{made['subscription']['id']}")
    await flow.tell_callbacks()
    await flow.tell_rows()
