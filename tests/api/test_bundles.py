"""Several things in one payment, prices of the request's own, and what else is said of a SKU."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.webshop import WebShop, card, expect_rejection, price

MONTHLY = [price(1), price(1, offset="30d", repeat=True)]
LARGEST = 9_999_999_999.99


def bundle(shop: WebShop, *skus: Mapping[str, Any]) -> dict[str, Any]:
    """Build a payment of several SKUs."""
    return shop.payment(sku=[dict(sku) for sku in skus])


async def test_a_bundle(shop: WebShop) -> None:
    """What is due at once is one sum and one payment; each schedule starts a subscription of its own."""
    await shop.execute(
        "insert into site (merchant_id, site_id, name, ipn_url, descriptor) values (1, 67890, 'b.example', '', 'B')"
    )
    skus = (
        shop.sku(*MONTHLY, title="Monthly"),
        {"siteId": "67890", "title": "Once", "price": [price(5)]},
        {"name": "PREMIUM_MONTHLY"},
        {"name": "ONE_TIME", "price": [price(0), price(2.5, offset="7d")], "siteId": 67890},
    )
    answer = (await shop.pay(bundle(shop, *skus))).json()
    payment = answer["payment"]
    assert (payment["status"], payment["mode"], payment["amount"]) == ("success", "sale", 25.99)
    assert payment["descriptor"] == "SHOP 1"
    assert answer["subscription"] == answer["subscriptions"][0]
    told = [(each["siteId"], each.get("skuName"), each["status"]) for each in answer["subscriptions"]]
    assert told == [
        ("983759353", None, "active"),
        ("983759353", "PREMIUM_MONTHLY", "active"),
        ("67890", "ONE_TIME", "trial"),
    ]
    rows = await shop.fetch("select subscription_id, site_id, sku_name, status from subscription order by 1")
    assert [str(row["subscription_id"]) for row in rows] == [each["id"] for each in answer["subscriptions"]]
    assert [(str(row["site_id"]), row["sku_name"], row["status"]) for row in rows] == told
    again = (await shop.get(f"/payment/{payment['transactionId']}")).json()
    assert again == answer


async def test_a_bundle_that_fails(shop: WebShop) -> None:
    """A declined bundle starts no subscription."""
    body = bundle(shop, shop.sku(*MONTHLY), {"name": "PREMIUM_MONTHLY"})
    body["paymentSource"]["emulateCode"] = "5051"
    answer = (await shop.pay(body)).json()
    assert answer["payment"]["code"] == "5051"
    assert not {"subscription", "subscriptions"} & set(answer)
    assert not await shop.fetch("select 1 from subscription")


async def test_a_list_of_one(shop: WebShop) -> None:
    """A list of one SKU is that SKU, and an entry may be an empty list in the place of an empty object's fields."""
    body = bundle(shop, shop.sku(url=[], action=[]))
    answer = (await shop.pay(body)).json()
    assert answer["payment"]["amount"] == 19.99
    assert "subscriptions" not in answer


async def test_where_the_result_of_a_bundle_goes(shop: WebShop) -> None:
    """The request's own addresses come first, then those of the first SKU that has them."""
    with_url = shop.sku(url={"ipnUrl": "http://sku.example/ipn", "redirectUrl": "http://sku.example/"})
    body = bundle(shop, shop.sku(), with_url) | {"url": {"redirectUrl": "http://own.example/"}}
    assert (await shop.pay(body)).status_code == 201
    row = (await shop.fetch("select ipn_url, redirect_url from payment"))[0]
    assert tuple(row) == ("http://sku.example/ipn", "http://own.example/")


FAULTY: tuple[tuple[list[Any], list[str]], ...] = (
    ([{}], ["sku.0.siteId"]),
    ([[]], ["sku.0.siteId"]),
    (["ONE_TIME"], ["sku.0"]),
    ([{"name": "ONE_TIME"}, 5], ["sku.1"]),
    ([{"name": "GOLD"}, {"siteId": "1"}], ["sku.0.name", "sku.1.siteId", "sku.1.price"]),
    ([{"name": "ONE_TIME"}] * 21, ["sku"]),
    ([{"name": "ONE_TIME"}, {"siteId": "983759353", "price": [price(), price(-1)]}], ["sku.1.price.1.amount"]),
    (
        [{"siteId": "983759353", "price": [price(1, "XXY")]}, {"name": "ONE_TIME", "price": [price(1.5, "JPY")]}],
        ["sku.0.price.0.currency", "sku.1.price.0.amount"],
    ),
    (
        [{"name": "ONE_TIME"}, {"siteId": "983759353", "price": [price(1, "EUR")]}],
        ["sku.1.price.0.currency"],
    ),
    ([{"siteId": "983759353", "price": [price(1, "EUR")]}, {"name": "ONE_TIME"}], ["sku.1.name"]),
    (
        [{"siteId": "983759353", "price": [price(LARGEST)]}, {"siteId": "983759353", "price": [price(1)]}],
        ["sku.1.price"],
    ),
    ([{"name": "ONE_TIME", "title": "T" * 256, "xsell": "perhaps"}], ["sku.0.title", "sku.0.xsell"]),
)


@pytest.mark.asyncio(loop_scope="module")
async def test_faulty_bundles(refusing_shop: WebShop) -> None:
    """Every fault of a bundle is named by its path, and nothing of it is charged."""
    for skus, paths in FAULTY:
        body = refusing_shop.payment() | {"sku": skus}
        await expect_rejection(refusing_shop, await refusing_shop.pay(body), *paths)


async def test_bundles_that_differ(shop: WebShop) -> None:
    """Another second thing is another purchase, and no double click; its digest goes when the payment is finished."""
    source = {"type": "card", "3ds": True} | card("challenge")  # both are open at the same time
    first, second = (
        bundle(shop, shop.sku(), shop.sku(price(amount)))
        | {"paymentSource": source, "consumer": {**shop.payment()["consumer"], "id": "same-one"}}
        for amount in (1, 2)
    )
    orders = [(await shop.pay(body)).json()["payment"]["orderId"] for body in (first, second, first)]
    assert orders[0] == orders[2] != orders[1]
    digests = await shop.fetch("select distinct double_click_digest from open_attempt")
    assert len(digests) == 2
    paid = await shop.pay(bundle(shop, shop.sku(), shop.sku(price(3))))
    assert paid.json()["payment"]["status"] == "success"
    assert len(await shop.fetch("select 1 from open_attempt")) == 2


async def test_own_prices_of_a_named_sku(shop: WebShop) -> None:
    """A product is sold at the request's prices where there are any, else at its own; its name stays with it."""
    for prices, amount in (([price(5)], 5), ([], 9.99)):
        answer = (await shop.pay(shop.payment(sku={"name": "ONE_TIME", "price": prices}))).json()
        assert answer["payment"]["amount"] == amount
    rows = await shop.fetch("select terms from payment order by payment_id")
    assert [json.loads(row["terms"])["items"][0]["skuName"] for row in rows] == ["ONE_TIME", "ONE_TIME"]


async def test_taxes_are_kept_and_told(shop: WebShop) -> None:
    """The taxes of a price are stored with it, and stand as `vat` in answer and callback."""
    taxed = {"currency": "EUR", "beforeTaxes": 10, "taxes": 2, "taxRate": 0.2, "taxName": "VAT", "title": "Seat"}
    answer = (await shop.pay(shop.payment(sku=shop.sku(taxed, price(5, "EUR"))))).json()
    assert (answer["payment"]["amount"], answer["payment"]["vat"]["amount"]) == (17, 2)
    event = json.loads((await shop.fetch("select body from event"))[0]["body"])
    assert event["payment"]["vat"] == answer["payment"]["vat"]
    terms = json.loads((await shop.fetch("select terms from payment"))[0]["terms"])
    first, second = terms["items"][0]["prices"]
    assert first["tax"] == {"amount_minor": 200, "rate": "0.2", "name": "VAT"}
    assert first["title"] == "Seat"
    assert "tax" not in second


async def test_what_else_is_said_of_a_sku(shop: WebShop) -> None:
    """Domain, action and xsell are kept with the payment."""
    said = {"domainName": "shop.example", "action": {"type": "extend", "id": "7"}, "xsell": "checked"}
    assert (await shop.pay(shop.payment(sku=shop.sku(**said)))).status_code == 201
    terms = json.loads((await shop.fetch("select terms from payment"))[0]["terms"])
    assert terms["items"][0]["extras"] == said


EDGES: tuple[tuple[str, Any, bool], ...] = (
    ("title", "T" * 255, True),
    ("title", "T" * 256, False),
    ("domainName", "a.example", True),
    ("domainName", f"{'a' * 28}.example", True),
    ("domainName", f"{'a' * 29}.example", False),
    ("domainName", "a.io", False),
    ("domainName", "http://a.example", False),
    ("domainName", "a b.example", False),
    ("action.type", "e" * 36, True),
    ("action.type", "e" * 37, False),
    ("action.type", "edit", False),
    ("action.id", "7", True),
    ("action.id", "7" * 37, False),
    ("xsell", "unchecked", True),
    ("xsell", "no", False),
    ("price.0.title", "T" * 255, True),
    ("price.0.title", "T" * 256, False),
    ("price.0.taxName", "T" * 256, False),
    ("price.0.taxRate", 1, True),
    ("price.0.taxRate", 1.01, False),
    ("price.0.taxRate", -0.1, False),
    ("price.0.taxRate", "0.2", True),
    ("price.0.taxes", -1, False),
    ("price.0.taxes", 20, False),
    ("price.0.taxes", 1.005, False),
    ("price.0.taxes", "3.33", True),
    ("price.0.beforeTaxes", 20, False),
    ("price.0.beforeTaxes", 19.99, True),
    ("price.0.afterTaxes", 19.98, False),
    ("price.0.afterTaxes", 19.99, True),
)


@pytest.mark.asyncio(loop_scope="module")
async def test_bounds_of_a_sku(refusing_shop: WebShop) -> None:
    """Each bound of what may be said of a SKU and its prices holds at its edge; the paths name what is beyond."""
    shop = refusing_shop
    for place, value, is_taken in EDGES:
        body = shop.payment({"type": "none"})
        content: Any = body["sku"]
        *way, last = place.split(".")
        for step in way:
            content = content[int(step)] if step.isdigit() else content.setdefault(step, {})
        content[last] = value
        errors = (await shop.pay(body)).json()["errors"]
        assert (f"sku.{place}" not in errors) is is_taken, (place, value, errors)
