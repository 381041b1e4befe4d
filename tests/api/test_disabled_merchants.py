"""A disabled merchant sells nothing and sees to what it sold."""

from __future__ import annotations

import re

import pytest
from tests.support.webshop import OpenShop, WebShop, card, expect_rejection

from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Route

#: What browsers, the Directory and machines that watch open without an API key.
WITHOUT_KEY = re.compile(
    r"/(portal|pay|3ds|simulator|static|stage/inbox|stage/thanks|docs|openapi.json|codes|ips|healthz|readyz|metrics"
    r"|stage/\{name\}|\{)(/|\.|$)|/$"
)
DISABLED = "The merchant is disabled"


@pytest.fixture
async def shop(opened: OpenShop) -> WebShop:
    """A gateway on which the first merchant has sold something, and was disabled then."""
    return await opened()


async def disable(shop: WebShop) -> None:
    """Disable the merchant; its keys are remembered for some seconds, so they are forgotten."""
    await shop.execute("update merchant set state = 'disabled' where merchant_id = $1", shop.merchant.merchant_id)
    shop.gateway.authenticator._merchant_authenticator._keys._known.clear()  # noqa: SLF001 - five seconds are long in a test


def find_calls(shop: WebShop) -> list[Route]:
    """Return the routes of every call that takes an API key."""
    return [route for route in shop.web.routes if not WITHOUT_KEY.match(route.path)]


async def test_every_call_says_what_it_is(shop: WebShop) -> None:
    """Whatever changes something says its purpose."""
    calls = find_calls(shop)
    assert len(calls) > 50
    assert not [route for route in calls if route.method != "GET" and route.purpose is None]


def test_an_unknown_call_is_refused_first() -> None:
    """A call that does not say its purpose counts as one that sells, unless it reads."""

    async def answer(_: Request) -> Response:
        return Response()

    assert Route("POST", "/new", answer).effective_purpose is Purpose.SELLS
    assert Route("DELETE", "/new", answer).effective_purpose is Purpose.SELLS
    assert Route("GET", "/new", answer).effective_purpose is Purpose.READS


async def test_what_sells_is_refused_and_nothing_else(shop: WebShop) -> None:
    """With the key of a disabled merchant a call that sells is 403, and no other call says so."""
    await disable(shop)
    for route in find_calls(shop):
        method, path, sells = route.method, route.path, route.effective_purpose is Purpose.SELLS
        headers = {"Authorization": shop.merchant.key, "x-requested-with": "XMLHttpRequest"}
        body = card() if path == "/tokenize" else {}
        answer = await shop.client.request(method, re.sub(r"\{[^}]*\}", "1", path), json=body, headers=headers)
        refused = answer.status_code == 403 and DISABLED in answer.text
        is_account_token = path == "/tokenizeWithPaymentAccountId"  # its fields are read first
        assert refused == sells or is_account_token, (method, path, answer.status_code, answer.text)


async def test_money_goes_back(shop: WebShop) -> None:
    """A disabled merchant refunds, voids, cancels and reads, with keys of its own; the other merchant sells on."""
    sold, held = await shop.pay(), await shop.pay()
    begun = await shop.pay(shop.payment(sku={"name": "PREMIUM_MONTHLY"}))
    await disable(shop)
    sale, other = (answer.json()["payment"]["transactionId"] for answer in (sold, held))
    subscription = begun.json()["subscription"]["id"]
    assert (await shop.get(f"/payment/{sale}")).status_code == 200
    assert (await shop.get(f"/payment/{sale}/timeline")).status_code == 200
    assert (await shop.post(f"/payment/{sale}/credit", {"reason": "returned"})).status_code == 201
    assert (await shop.post(f"/payment/{other}/void", {})).status_code == 201
    assert (await shop.put(f"/subscription/{subscription}/cancel", {})).status_code == 200
    assert (
        await shop.pay(key=shop.other.key, body=shop.payment(sku=shop.sku(siteId=str(shop.other.site_id))))
    ).status_code == 201


async def test_its_cards_are_not_tokenized(shop: WebShop) -> None:
    """Neither its key nor the id of one of its stored cards makes a token; without a key a card is nobody's."""
    paid = (await shop.pay()).json()
    body = {
        "paymentAccountId": paid["payment"]["source"]["paymentAccountId"],
        "consumerId": paid["consumer"]["id"],
        "cvv": "937",
    }
    await disable(shop)
    stored = await shop.count_rows()
    headers = {"x-requested-with": "XMLHttpRequest"}
    for answer in (
        await shop.tokenize(key=shop.merchant.key),
        await shop.post("/tokenizeWithPaymentAccountId", body, key="", headers=headers),
        await shop.post("/tokenizeWithPaymentAccountId", body, headers=headers),
    ):
        await expect_rejection(shop, answer, status=403, stored=stored)
    assert (await shop.tokenize()).status_code == 201


async def test_its_pages_take_nothing(shop: WebShop) -> None:
    """A payment page of a merchant who was disabled after it was made shows no form, and takes none."""
    page = {
        "sku": shop.sku(url={"ipnUrl": "http://127.0.0.1:9/ipn", "redirectUrl": "http://127.0.0.1:9/thanks"}),
        "consumer": {"id": "user-1", "ip": "203.0.113.45"},
    }
    made = await shop.post("/paymentPage", page)
    assert made.status_code == 201, made.text
    path = "/pay/" + made.json()["url"].rpartition("/")[2]
    shown = await shop.client.get(path)
    assert shown.status_code == 200
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', shown.text))
    await disable(shop)
    stored = await shop.count_rows()
    refused = await shop.client.get(path)
    assert (refused.status_code, "<form" in refused.text) == (410, False)
    typed = {"number": card()["number"], "expiry": "12/30", "code": "009", "holder": "Jane Smith"}
    await shop.client.post(path, data=fields | typed)
    assert await shop.count_rows() == stored
