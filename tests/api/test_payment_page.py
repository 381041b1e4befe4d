"""`POST /paymentPage`: making a page, in whatever form clients send it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.webshop import OpenShop, WebShop, expect_rejection, price

#: A test that stores nothing, on the application that it shares with others.
refusing = pytest.mark.asyncio(loop_scope="module")

URLS = {"ipnUrl": "http://127.0.0.1:9/ipn", "redirectUrl": "http://127.0.0.1:9/thanks"}


def page(shop: WebShop, **changes: Any) -> dict[str, Any]:
    """Build a page as the public PHP client sends it: a list of SKUs, and `[]` for what is empty."""
    parts: dict[str, Any] = {
        "sku": [shop.sku(url=URLS)],
        "consumer": [],
        "template": {"templateParameters": []},
        "payment": {"method": []},
        "fees": [],
    }
    return {name: part for name, part in (parts | changes).items() if part is not None}


async def links(shop: WebShop) -> int:
    """Count the links."""
    [row] = await shop.fetch("select count(*) from payment_link")
    return int(row[0])


async def test_body_of_every_known_client_creates_a_page(shop: WebShop) -> None:
    """The PHP client's list, the plugin's object, a named SKU, a bundle, and a body with every field create a page."""
    full = {
        "consumer": {"externalId": 77, "email": "", "country": "USA", "ip": "203.0.113.4", "firstName": "Jane"},
        "metadata": {"wp_order_id": 12, "version": "1"},
        "emailOptions": True,
        "template": {"language": "de", "layout": "wide", "templateParameters": {"a": "b"}},
        "payment": {
            "method": ["card", "sepa"],
            "selected": "card",
            "secure": True,
            "test": True,
            "terminalMode": True,
            "emulateCode": "0000",
            "mid": "123",
            "bin": "402400",
            "domain": "https://shop.example",
        },
        "fees": [{"type": "platform", "items": [{"geo": "ALL", "items": [{"paymentMethod": "ALL", "value": 0.1}]}]}],
        "ttl": "30m",
    }
    bodies = [
        page(shop),
        {"sku": shop.sku(url=URLS), "consumer": {"externalId": "wp__1", "ip": "127.0.0.1"}, "metadata": {}},
        {"sku": {"name": "PREMIUM_MONTHLY", "price": [], "url": URLS}},
        page(shop, sku=[shop.sku(url=URLS), {"name": "ONE_TIME"}], **full),
    ]
    urls = set()
    for body in bodies:
        answer = await shop.post("/paymentPage", body)
        assert answer.status_code == 201, answer.text
        assert answer.json()["code"] == 0
        urls.add(answer.json()["url"])
    assert len(urls) == 4
    assert await links(shop) == 4


async def test_repeated_request_returns_the_same_page(shop: WebShop) -> None:
    """An X-Request-ID names one page; with another body it is rejected."""
    headers = {"X-Request-ID": "page-1"}
    first, second = [await shop.post("/paymentPage", page(shop), headers=headers) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert second.headers["Idempotent-Replay"] == "true"
    await shop.execute("update sku set name = 'GONE' where name = 'ONE_TIME'")
    later = await shop.post("/paymentPage", page(shop, sku={"name": "ONE_TIME", "url": URLS}), headers=headers)
    assert later.status_code == 422
    other = await shop.post("/paymentPage", page(shop, ttl="1h"), headers=headers)
    assert other.status_code == 422
    assert await links(shop) == 1


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"sku": None}, {"sku", "sku.url.ipnUrl", "sku.url.redirectUrl"}),
        ({"sku": []}, {"sku.siteId", "sku.url.ipnUrl", "sku.url.redirectUrl"}),
        ({"ttl": "59"}, {"ttl"}),
        ({"ttl": "91d"}, {"ttl"}),
        ({"template": {"language": "eng"}}, {"template.language"}),
        ({"payment": {"method": ["card", "gold"]}}, {"payment.method"}),
        ({"payment": {"method": ["sepa"]}}, {"payment.method"}),
        ({"payment": {"selected": "gold"}}, {"payment.selected"}),
        ({"payment": {"emulateCode": "123", "mid": "x" * 37}}, {"payment.emulateCode", "payment.mid"}),
        ({"payment": {"bin": "12345", "domain": "shop.example"}}, {"payment.bin", "payment.domain"}),
        ({"consumer": {"ip": "nowhere", "country": "Us."}}, {"consumer.ip", "consumer.country"}),
        ({"fees": [{"type": "a", "items": []}]}, {"fees.0.items"}),
        ({"fees": [{"items": [{"items": [{"value": -1}]}]}]}, {"fees.0.type", "fees.0.items.0.items.0.value"}),
        (
            {"fees": [{"type": "a", "items": [{"items": [{"value": 0.001}, {"value": 1, "paymentMethod": "gold"}]}]}]},
            {"fees.0.items.0.items.1.paymentMethod"},
        ),
        ({"fees": [{"type": "a", "items": [{"items": [{"value": 0.001}]}]}]}, {"fees.0.items.0.items.0.value"}),
        ({"fees": [{"type": "a", "items": [{"items": [{"value": 9_999_999_999}]}]}]}, {"fees"}),
        ({"metadata": "text"}, {"metadata"}),
    ],
)
@refusing
async def test_fault_is_named_by_its_path(refusing_shop: WebShop, changes: dict[str, Any], paths: set[str]) -> None:
    """Faults are named by their paths, all at once."""
    answer = await refusing_shop.post("/paymentPage", page(refusing_shop, **changes))
    errors = await expect_rejection(refusing_shop, answer, *paths)
    assert errors
    assert await links(refusing_shop) == 0


@refusing
async def test_faults_of_form_and_references_are_named_at_once(refusing_shop: WebShop) -> None:
    """Faults of form and of references are named together, also in a bundle."""
    body = {
        "sku": [{"siteId": "1", "price": [price(amount=-1)]}, {"name": "NOTHING"}, {}],
        "ttl": "x",
        "payment": {"selected": "gold"},
    }
    answer = await refusing_shop.post("/paymentPage", body)
    paths = {"sku.0.siteId", "sku.0.price.0.amount", "sku.1.name", "sku.2.siteId", "ttl", "payment.selected"}
    await expect_rejection(refusing_shop, answer, *paths, "sku.0.url.ipnUrl", "sku.0.url.redirectUrl")


async def test_page_without_urls_gets_those_of_its_site(shop: WebShop) -> None:
    """A page without URLs gets those that its site has when the page is created."""
    await shop.execute("update site set ipn_url = 'http://127.0.0.1:9/a', redirect_url = 'http://127.0.0.1:9/b'")
    assert (await shop.post("/paymentPage", page(shop, sku=shop.sku()))).status_code == 201
    [row] = await shop.fetch("select terms ->> 'ipn_url' as ipn, terms ->> 'redirect_url' as back from payment_link")
    assert (row["ipn"], row["back"]) == ("http://127.0.0.1:9/a", "http://127.0.0.1:9/b")


@refusing
async def test_page_without_any_url_is_rejected(refusing_shop: WebShop) -> None:
    """If neither the page nor its site has URLs, the page is rejected."""
    answer = await refusing_shop.post("/paymentPage", page(refusing_shop, sku=refusing_shop.sku()))
    await expect_rejection(refusing_shop, answer, "sku.url.ipnUrl", "sku.url.redirectUrl")


@refusing
async def test_site_of_another_merchant_is_unknown(refusing_shop: WebShop) -> None:
    """A site of another merchant is unknown."""
    answer = await refusing_shop.post("/paymentPage", page(refusing_shop), key=refusing_shop.other.key)
    await expect_rejection(refusing_shop, answer, "sku.0.siteId")


async def test_live_rejects_test_data(opened: OpenShop) -> None:
    """Live rejects `test`, `emulateCode` and addresses without TLS."""
    live = await opened(environment="live")
    body = page(live, payment={"test": True, "emulateCode": "0000"})
    errors = (await live.post("/paymentPage", body)).json()["errors"]
    assert {"payment.test", "payment.emulateCode", "sku.0.url.ipnUrl", "sku.0.url.redirectUrl"} <= set(errors)
