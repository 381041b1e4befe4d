"""Sites, products, consumers, test cards, rates and phones: made, read, changed, and refused."""

from __future__ import annotations

from typing import Any

from tests.golden.flow import Flow
from tests.support.webshop import price

SITE = {
    "name": "shop.example.com",
    "externalId": "shop-1",
    "ipnUrl": "https://your-server.example.com/ipn?wc-api=wc_gateway",
    "redirectUrl": "http://localhost/thanks",
}


async def sites(flow: Flow) -> None:
    """Make, read and change sites."""
    shop = flow.shop
    made = (await shop.post("/site", SITE)).json()
    path = f"/site/{made['id']}"
    await shop.get(path)
    await shop.get(path, key=shop.other.key)
    bodies: tuple[Any, ...] = (
        {"descriptor": "NEW", "ipnFormat": "both", "threeDs": "always", "status": False},
        {"extraEvents": ["dispute.won"], "subscriptionEvents": True, "corsEnabled": False},
        {"name": "localhost", "externalId": "x", "ipnUrl": "ftp://x", "redirectUrl": "thanks", "descriptor": "x" * 30},
        {},
        [],
    )
    for body in bodies:
        await shop.put(path, body)
    for made_of in ({}, SITE | {"name": "x"}, SITE, SITE | {"externalId": "shop-2", "unknown": 1}):
        await shop.post("/site", made_of, headers={"X-Request-ID": "site-1"})
    for missing in ("/site/1", "/site/x"):
        await shop.get(missing)
        await shop.put(missing, {"descriptor": "NEW"})
    await flow.pay(sku=shop.sku(siteId=made["id"]))
    await shop.get(f"/sku/TECH_{made['id']}")
    await flow.tell_rows()


async def products(flow: Flow) -> None:
    """Make, read and change products, and sell them."""
    shop, site = flow.shop, str(flow.shop.merchant.site_id)
    one_time = {"siteId": site, "title": "E-book", "type": "one-time", "amount": 9.99, "currency": "USD"}
    monthly = {
        "siteId": site,
        "title": "Club",
        "type": "subscription",
        "price": [price(1), price(19.99, offset="30d", repeat=True)],
    }
    made = [(await shop.post("/sku", body)).json() for body in (one_time, monthly, monthly | {"externalId": "e"})]
    bodies: tuple[Any, ...] = (
        {},
        one_time | {"amount": "x", "currency": "ZZZ", "siteId": "1"},
        monthly | {"price": [price(-1)]},
    )
    for body in bodies:
        await shop.post("/sku", body)
    path = f"/sku/{made[0]['name']}"
    await shop.get(path)
    changed: tuple[Any, ...] = (
        {"title": "Book", "amount": 5},
        {"showOnPaymentPage": False},
        {"amount": "x", "type": "x"},
        [],
    )
    for change in changed:
        await shop.put(path, change)
    for missing in ("/sku/GOLD", "/sku/%20"):
        await shop.get(missing)
        await shop.put(missing, {"title": "Book"})
    for each in made[:2]:
        await flow.pay(sku={"name": each["name"]}, consumer=flow.buyer(each["type"]))
    await flow.tell_rows()


async def consumers(flow: Flow) -> None:
    """Make, read, group and block consumers, and list their cards."""
    shop = flow.shop
    person = {"externalId": "user-00123", "email": "jane@shop.example", "birthday": "1990-02-28", "country": "GBR"}
    made = (await shop.post("/consumer", person)).json()
    path = f"/consumer/{made['id']}"
    bodies: tuple[Any, ...] = (
        person,
        {},
        {"externalId": "x" * 300, "email": "no", "birthday": "tomorrow", "country": "Narnia"},
    )
    for body in bodies:
        await shop.post("/consumer", body)
    await shop.get(path)
    groups: tuple[Any, ...] = ({"groupId": "2"}, {"groupId": 5}, {"groupId": "x"}, {})
    for group in groups:
        await shop.put(path, group)
    await flow.pay(consumer={"externalId": "user-00123", "ip": "203.0.113.45"})
    await flow.pay("mastercard", consumer={"id": made["id"], "ip": "203.0.113.45"})
    await shop.get(f"{path}/paymentAccounts")
    for missing in ("/consumer/nobody", "/consumer/nobody/paymentAccounts"):
        await shop.get(missing)
    await shop.get(path, key=shop.other.key)
    await flow.tell_rows()


async def blocked_consumers(flow: Flow) -> None:
    """Pay by consumers of every group."""
    for group in range(1, 7):
        made = (await flow.shop.post("/consumer", {"externalId": f"grouped-{group}"})).json()
        await flow.shop.put(f"/consumer/{made['id']}", {"groupId": str(group)})
        await flow.pay(consumer={"id": made["id"], "ip": "203.0.113.45"})
    await flow.tell_callbacks()
    await flow.tell_rows()


async def test_cards(flow: Flow) -> None:
    """Make, change, use and delete test cards."""
    shop, path = flow.shop, "/testPaymentData"
    made = (await shop.post(path, {"type": "visa", "balance": 10, "currency": "USD"})).json()
    number, own = str(made["number"]), f"{path}/{made['id']}"
    flow.names.teach(f"{number[:6]}****{number[-4:]}", "masked test card")
    bodies: tuple[Any, ...] = ({}, {"type": "x", "balance": -1, "currency": "ZZZ"}, {"type": "sepa"})
    for body in bodies:
        await shop.post(path, body)
    source = {"type": "card", "number": number, "expirationMonth": "12", "expirationYear": "45", "cvv": "009"}
    steps: tuple[tuple[str, str, Any], ...] = (
        ("PUT", "/balance", {"balance": 100, "currency": "USD"}),
        ("PUT", "/balance", {"balance": "x"}),
        ("PUT", "/allowedIps", {"allowedIps": ["203.0.113.1"]}),
        ("PUT", "/allowedIps", {"allowedIps": ["x"]}),
        ("PUT", "/allowedIps", {"allowedIps": []}),
        ("POST", "/block", []),
        ("POST", "/unblock", []),
        ("POST", "/emulate3ds", []),
        ("POST", "/notEmulate3ds", []),
    )
    for count, (method, step, body) in enumerate(steps):
        await (shop.put if method == "PUT" else shop.post)(own + step, body)
        await flow.pay(source, consumer=flow.buyer(f"tester-{count}"))
    await shop.get(own)
    await shop.get(path)
    await shop.get(own, key=shop.other.key)
    for each in (own, own, f"{path}/x"):
        await shop.client.delete(each, headers={"Authorization": shop.merchant.key})
    await shop.get(own)


async def phones(flow: Flow) -> None:
    """Send codes to phones and check wrong ones."""
    shop, path = flow.shop, "/antifraud/verification"
    written = "+1%20(500)%20555.0006"
    await shop.get(f"{path}/{written}")
    await shop.get(f"{path}/12345")
    await shop.post(f"{path}/sms/send", {"phone": "+1 (500) 555.0006", "from": "Example"})
    for code in ("x", "12345"):
        await shop.get(f"{path}/{written}/{code}")
    bodies: tuple[Any, ...] = (
        {},
        {"phone": "+12345", "from": "x" * 17},
        {"phone": "212 555-1234", "region": "Narnia"},
        [],
    )
    for body in bodies:
        await shop.post(f"{path}/sms/send", body)
    await shop.post(f"{path}/pigeon/send", {"phone": "+15005550006"})


async def facts(flow: Flow) -> None:
    """Read what is the same for all merchants: codes, rates, addresses."""
    shop = flow.shop
    await shop.get("/codes")
    await shop.get("/ips")
    await shop.get("/currency-exchange-rate/USD")
    await shop.get("/currency-exchange-rate/ZZZ")
    await shop.get("/currency-exchange-rate", key="wrong")
