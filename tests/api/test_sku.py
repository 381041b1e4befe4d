"""Products: named by the gateway, made and changed by their merchant, sold by name."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from tests.support.webshop import WebShop

pytestmark = pytest.mark.asyncio(loop_scope="module")

MONTHLY = [
    {"offset": "0d", "amount": 1, "currency": "USD", "repeat": False},
    {"offset": "30d", "amount": 19.99, "currency": "USD", "repeat": True},
]
#: What the public client's getters cannot do without.
STRINGS = ("name", "siteId", "externalId", "title", "createdAt", "updatedAt", "type")


def sku(shop: WebShop, **changes: Any) -> dict[str, Any]:
    """Describe a one-time product of the merchant's site; a change to None leaves a field out."""
    fields = {
        "siteId": str(shop.merchant.site_id),
        "title": "E-book",
        "type": "one-time",
        "amount": 9.99,
        "currency": "USD",
    } | changes
    return {name: value for name, value in fields.items() if value is not None}


def subscription(shop: WebShop, **changes: Any) -> dict[str, Any]:
    """Describe a subscription."""
    return sku(shop, **({"type": "subscription", "amount": None, "currency": None, "price": MONTHLY} | changes))


async def make_sku(shop: WebShop, body: dict[str, Any]) -> dict[str, Any]:
    """Make a product and return the answer."""
    answer = await shop.post("/sku", body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_one_time_product(refusing_shop: WebShop) -> None:
    """Made from amount and currency or from one price, its price is a number, and every key is there."""
    shop = refusing_shop
    as_price = [{"offset": "0d", "amount": "9.99", "currency": "USD", "repeat": False}]
    for body in (sku(shop), sku(shop, price=[], amount="9.99"), sku(shop, price=as_price, amount=None, currency="")):
        made = await make_sku(shop, body)
        assert all(isinstance(made[name], str) for name in STRINGS)
        assert (made["price"], made["currency"], made["type"]) == (9.99, "USD", "one-time")
        assert (made["externalId"], made["showOnPaymentPage"]) == ("", True)
        assert (await shop.get(f"/sku/{made['name']}")).json() == made


async def test_a_subscription(refusing_shop: WebShop) -> None:
    """The price of a subscription is the list of its charges."""
    made = await make_sku(refusing_shop, subscription(refusing_shop, externalId="premium-30"))
    assert (made["price"], made["type"], made["externalId"]) == (MONTHLY, "subscription", "premium-30")
    assert (await refusing_shop.get(f"/sku/{made['name']}")).json() == made


async def test_taxes_of_a_subscription(refusing_shop: WebShop) -> None:
    """What a charge says of its taxes comes back with it, and is told when the product is sold."""
    shop = refusing_shop
    taxed = MONTHLY[0] | {"amount": 12, "beforeTaxes": 10, "taxes": 2, "taxRate": 0.2, "taxName": "VAT", "title": "A"}
    made = await make_sku(shop, subscription(shop, price=[taxed, MONTHLY[1]]))
    assert made["price"] == [taxed, MONTHLY[1]]
    paid = (await shop.pay(shop.payment(sku={"name": made["name"]}))).json()["payment"]
    assert (paid["amount"], paid["vat"]["amount"]) == (12, 2)


async def test_names_are_readable(refusing_shop: WebShop) -> None:
    """A name says site and currency; from the second on it is numbered; a name that is taken is passed over."""
    shop = refusing_shop
    site = {"name": "a-very-long-name.of-a-shop.example.com", "externalId": "x-1", "ipnUrl": "https://a.example/ipn"}
    site_id = (await shop.post("/site", site)).json()["id"]
    await shop.execute(
        "insert into sku (merchant_id, name, site_id, title, kind, prices) values ($1, $2, $3, '', 'one-time', '[]')",
        shop.merchant.merchant_id, "A_VERY_LONG_NAME_OF_A_SH_JPY_2", int(site_id),
    )  # fmt: skip
    made = [await make_sku(shop, sku(shop, siteId=site_id, amount=5, currency="JPY")) for _ in range(2)]
    assert [one["name"] for one in made] == ["A_VERY_LONG_NAME_OF_A_SH_JPY", "A_VERY_LONG_NAME_OF_A_SH_JPY_3"]
    first = await make_sku(shop, sku(shop))
    assert re.fullmatch(r"SHOP1_EXAMPLE_USD(_\d+)?", first["name"])


async def test_names_are_unique_under_concurrency(refusing_shop: WebShop) -> None:
    """Products made at the same time get names of their own."""
    shop = refusing_shop
    made = await asyncio.gather(*(make_sku(shop, sku(shop, currency="SEK")) for _ in range(8)))
    assert len({one["name"] for one in made}) == 8


async def test_products_made_once_for_a_request_id(refusing_shop: WebShop) -> None:
    """Concurrent repeats of one request make one product and get one answer."""
    shop = refusing_shop
    headers = {"X-Request-ID": "make-a-product"}
    answers = await asyncio.gather(*(shop.post("/sku", sku(shop), headers=headers) for _ in range(4)))
    assert len({answer.content for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {201}
    assert (await shop.post("/sku", sku(shop, amount=1), headers=headers)).status_code == 422


LATER = {"offset": "30d", "amount": 1, "currency": "USD"}


@pytest.mark.parametrize(
    ("changes", "faulty"),
    [
        ({"siteId": None}, {"siteId"}),
        ({"siteId": "1"}, {"siteId"}),
        ({"siteId": "abc"}, {"siteId"}),
        ({"siteId": "9" * 20}, {"siteId"}),
        ({"title": None}, {"title"}),
        ({"title": ""}, {"title"}),
        ({"title": "x" * 256}, {"title"}),
        ({"type": None}, {"type"}),
        ({"type": "onetime"}, {"type"}),
        ({"externalId": "ab"}, {"externalId"}),
        ({"externalId": "x" * 65}, {"externalId"}),
        ({"amount": None, "currency": None}, {"price"}),
        ({"amount": None}, {"amount"}),
        ({"currency": None}, {"currency"}),
        ({"currency": "XXX"}, {"currency"}),
        ({"currency": "ABC", "title": None}, {"currency", "title"}),
        ({"amount": -1}, {"amount"}),
        ({"amount": 1.999}, {"amount"}),
        ({"amount": True}, {"amount"}),
        ({"price": [LATER]}, {"amount"}),
        ({"price": [LATER, LATER], "amount": None}, {"price"}),
        ({"price": [LATER | {"repeat": True}], "amount": None}, {"price"}),
        ({"price": [LATER | {"amount": "x"}], "amount": None}, {"price.0.amount"}),
        ({"price": [{"offset": "0d", "amount": 1, "currency": "USD", "repeat": True}], "amount": None}, {"price.0"}),
        ({"price": [LATER] * 21, "amount": None}, {"price"}),
        ({"price": 9.99, "amount": None}, {"price"}),
        ({"type": "subscription"}, {"price"}),
        ({"showOnPaymentPage": "maybe"}, {"showOnPaymentPage"}),
    ],
)
async def test_faulty_products(refusing_shop: WebShop, changes: dict[str, Any], faulty: set[str]) -> None:
    """Every field at fault is named, also one that is at fault because of another."""
    answer = await refusing_shop.post("/sku", sku(refusing_shop, **changes))
    assert (answer.status_code, set(answer.json()["errors"])) == (400, faulty), answer.text


async def test_bounds_of_a_product_at_their_edges(refusing_shop: WebShop) -> None:
    """The shortest and longest fields are taken, an amount of nothing, and one with all decimals of its currency."""
    shop = refusing_shop
    for changes in (
        {"title": "x", "externalId": "abc", "amount": 0},
        {"title": "x" * 64, "externalId": "x" * 64, "amount": "0.001", "currency": "KWD"},
        {"siteId": shop.merchant.site_id, "showOnPaymentPage": False},
    ):
        await make_sku(shop, sku(shop, **changes))


async def test_only_what_is_sent_changes(refusing_shop: WebShop) -> None:
    """A product keeps its name and whatever the change does not name."""
    shop = refusing_shop
    made = await make_sku(shop, subscription(shop, externalId="abc"))
    path = f"/sku/{made['name']}"
    retitled = (await shop.put(path, {"title": "Gold"})).json()
    assert retitled == made | {"title": "Gold", "updatedAt": retitled["updatedAt"]}
    refused = await shop.put(path, {"type": "one-time"})
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["price"])
    once = (await shop.put(path, sku(shop, amount=5))).json()
    assert (once["name"], once["price"], once["type"], once["externalId"]) == (made["name"], 5, "one-time", "abc")
    assert (await shop.put(path, [])).json()["price"] == 5


async def test_concurrent_changes_lose_nothing(refusing_shop: WebShop) -> None:
    """Changes of different fields at the same time are all there afterwards."""
    shop = refusing_shop
    path = f"/sku/{(await make_sku(shop, sku(shop)))['name']}"
    changes: dict[str, Any] = {"title": "New", "externalId": "new-1", "showOnPaymentPage": False}
    await asyncio.gather(
        *(shop.put(path, {name: value}) for name, value in changes.items()),
        shop.put(path, {"amount": 3, "currency": "USD"}),
    )
    changed = (await shop.get(path)).json()
    assert {name: changed[name] for name in (*changes, "price")} == changes | {"price": 3}


async def test_products_of_others_are_not_there(refusing_shop: WebShop) -> None:
    """A name is its merchant's own: two have ONE_TIME each, and neither sees the other's, nor sells on its site."""
    shop = refusing_shop
    name = (await make_sku(shop, sku(shop)))["name"]
    for path in (f"/sku/{name}", "/sku/unknown", "/sku/%00", f"/sku/{'X' * 37}"):
        assert (await shop.get(path, key=shop.other.key)).status_code == 404
        assert (await shop.put(path, {"title": "stolen"}, key=shop.other.key)).status_code == 404
    await shop.put("/sku/ONE_TIME", {"title": "Mine"})
    assert (await shop.get("/sku/ONE_TIME", key=shop.other.key)).json()["title"] == "One_Time"
    for answer in (
        await shop.post("/sku", sku(shop, siteId=str(shop.other.site_id))),
        await shop.put("/sku/ONE_TIME", {"siteId": str(shop.other.site_id)}),
    ):
        assert answer.json()["errors"] == {"siteId": ["is unknown"]}


async def test_the_technical_product_stays(refusing_shop: WebShop) -> None:
    """The product that every site has cannot be changed, and is paid with at a price that the payment brings."""
    shop = refusing_shop
    name = f"TECH_{shop.merchant.site_id}"
    assert (await shop.put(f"/sku/{name}", {"title": "x"})).status_code == 400
    refused = await shop.pay(shop.payment(sku={"name": name}))
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["sku.price"])
    paid = await shop.pay(shop.payment(sku={"name": name, "price": [LATER | {"offset": "0d", "amount": 7}]}))
    assert paid.json()["payment"]["amount"] == 7


async def test_payments_see_a_change_at_once(refusing_shop: WebShop) -> None:
    """A payment by name costs what the product costs since the last change."""
    shop = refusing_shop
    name = (await make_sku(shop, sku(shop)))["name"]
    body = shop.payment(sku={"name": name, "price": []})
    assert (await shop.pay(body)).json()["payment"]["amount"] == 9.99
    await shop.put(f"/sku/{name}", {"amount": 12.5, "currency": "EUR"})
    payment = (await shop.pay(body)).json()["payment"]
    assert (payment["amount"], payment["currency"]) == (12.5, "EUR")
