"""The legacy endpoint, asked as the WooCommerce plugin asks: form fields, and a header by the name of `0`."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from tests.support.webshop import WebShop, consumer

PATH = "/epayment/lib/paypage_api/pay.php"

#: As WordPress's HTTP library sends them.
HEADERS = {"0": "Content-Type: application/json", "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
NAMED = {"fmt": "json", "method": "get_ustas_or_create", "username": "jane@shop.example", "external_user_id": "wp__7"}


async def ask(shop: WebShop, fields: dict[str, Any], *, key: str | None = None, content: Any = None) -> httpx.Response:
    """Ask; the key is a field and no header."""
    sent = {"authentication_key": shop.merchant.key if key is None else key, "fmt": "json"} | fields
    body = urlencode(sent).encode() if content is None else content
    return await shop.client.post(PATH, content=body, headers=HEADERS)


async def add_tech_sku(shop: WebShop) -> str:
    """Give the merchant's site its product without a price, as every site has that is made by the API."""
    name = f"TECH_{shop.merchant.site_id}"
    await shop.execute(
        "insert into sku (merchant_id, name, site_id, title, kind, prices) values (1, $1, $2, 'Shop', 'one-time', '[]')"
        " on conflict do nothing",
        name,
        shop.merchant.site_id,
    )
    return name


async def test_a_consumer_is_named_and_can_pay(shop: WebShop) -> None:
    """`ustas` is the id that a payment answers with for the same external id, asked once, again, or at once."""
    answers = await asyncio.gather(*(ask(shop, NAMED) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    [ustas] = {answer.json()["ustas"] for answer in answers}
    assert answers[0].json() == {"result": "OK", "ustas": ustas}
    assert answers[0].headers["content-type"] == "application/json"
    paid = await shop.pay(shop.payment(consumer=consumer(externalId="wp__7")))
    assert paid.json()["consumer"]["id"] == ustas
    [row] = await shop.fetch("select profile ->> 'email' as email from consumer")
    assert row["email"] == "jane@shop.example"


async def test_guests_are_their_addresses(shop: WebShop) -> None:
    """A guest's external id is an e-mail address, and names another consumer at another merchant."""
    guest = NAMED | {"external_user_id": "a.very.long+address@some.shop.example"}
    own = (await ask(shop, guest)).json()["ustas"]
    other = (await ask(shop, guest, key=shop.other.key)).json()["ustas"]
    assert 5 <= len(own) <= 36
    assert own != other


async def test_cards_are_what_may_be_paid_with(shop: WebShop) -> None:
    """`get` answers with an object whose one key is `cc`; the plugin makes a class name of it."""
    name, ustas = await add_tech_sku(shop), (await ask(shop, NAMED)).json()["ustas"]
    fields = {"method": "get", "ustas": ustas, "sku_name": name, "customer_remote_addr": "203.0.113.45"}
    answer = await ask(shop, fields | {"load_cc_mid_info": "1"})
    assert (answer.status_code, answer.json()) == (
        200,
        {"result": "OK", "short_payment_methods": {"cc": {"name": "Card"}}},
    )
    for wrong in ({"sku_name": "TECH_1"}, {"ustas": "cnobody"}, {"ustas": "c\tx"}):
        refused = await ask(shop, fields | wrong)
        assert (refused.status_code, refused.json()["result"]) == (404, "NOK")


#: Requests that are refused, by what is wrong with them.
REFUSED = {
    "no method": ({}, None, 400, {"method"}),
    "unknown method": ({"method": "pay"}, None, 400, {"method"}),
    "nothing to get": ({"method": "get"}, None, 400, {"ustas", "sku_name"}),
    "nobody": (NAMED | {"external_user_id": ""}, None, 400, {"external_user_id"}),
    "too long": (
        NAMED | {"external_user_id": "x" * 256, "username": "x" * 256},
        None,
        400,
        {"external_user_id", "username"},
    ),
    "no key": (NAMED, "", 401, set()),
    "wrong key": (NAMED, "x" * 300, 401, set()),
}


@pytest.mark.parametrize(("fields", "key", "status", "faulty"), REFUSED.values(), ids=list(REFUSED))
@pytest.mark.asyncio(loop_scope="module")
async def test_refusals_say_why_in_both_ways(
    refusing_shop: WebShop, fields: dict[str, Any], key: str | None, status: int, faulty: set[str]
) -> None:
    """A refusal has `result` and `response_text` for the plugin, message and errors for everybody else."""
    answer = await ask(refusing_shop, fields, key=key)
    content = answer.json()
    assert (answer.status_code, content["result"], set(content["errors"])) == (status, "NOK", faulty), answer.text
    assert content["response_text"] == content["message"] != ""


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 401),
        (b"\xff\xfe=%ff", 400),
        (b"authentication_key=a%00b&method=get", 400),
        (b"&".join(b"f%d=1" % number for number in range(60)), 400),
        (b"x=" + b"y" * 9000, 413),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_odd_bodies_are_refused(refusing_shop: WebShop, content: bytes, status: int) -> None:
    """What is no form, or too much of one, is refused in the same form."""
    answer = await ask(refusing_shop, {}, content=content)
    assert (answer.status_code, answer.json()["result"]) == (status, "NOK")
