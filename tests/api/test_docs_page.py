"""The OpenAPI document, and the page on which people read it."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel
from tests.support.webshop import BASE_URL

from tollhouse.api.document.description import all_examples
from tollhouse.api.payment.payment_request import find_cross_faults
from tollhouse.kernel.codes import list_codes

if TYPE_CHECKING:
    from tests.support.webshop import WebShop

EXAMPLES = [(model, title) for model, titles in all_examples().items() for title in titles]

pytestmark = pytest.mark.asyncio(loop_scope="module")


def find_model(name: str, base: type[BaseModel] = BaseModel) -> type[BaseModel] | None:
    """Return the model of this name, wherever in the gateway it is."""
    for model in base.__subclasses__():
        found = (
            model if model.__name__ == name and model.__module__.startswith("tollhouse") else find_model(name, model)
        )
        if found is not None:
            return found
    return None


async def read_page(shop: WebShop) -> str:
    """Return the page."""
    return (await shop.client.get("/docs")).text


async def read_document(shop: WebShop) -> dict[str, Any]:
    """Return the document."""
    document: dict[str, Any] = json.loads((await shop.client.get("/openapi.json")).content, parse_float=Decimal)
    return document


async def test_parameters_are_named_as_on_the_wire(refusing_shop: WebShop) -> None:
    """A path parameter has the name that the answer gives to the same thing."""
    paths = (await read_document(refusing_shop))["paths"]
    assert "/payment/{transactionId}" in paths
    assert not [path for path in paths if re.search(r"\{\w*_\w*\}", path)]
    assert [one["name"] for one in paths["/payment/{transactionId}"]["get"]["parameters"]] == ["transactionId"]


async def test_the_callback_is_part_of_the_document(refusing_shop: WebShop) -> None:
    """The document describes the IPNs as webhooks with their signatures: of payments, subscriptions and their cards."""
    webhooks = (await read_document(refusing_shop))["webhooks"]
    assert webhooks.keys() == {"payment", "subscription", "card"}
    for name, model in (("payment", "PaymentEvent"), ("subscription", "SubscriptionEvent"), ("card", "CardEvent")):
        callback = webhooks[name]["post"]
        assert {"X-Signature", "webhook-signature"} <= {parameter["name"] for parameter in callback["parameters"]}
        assert callback["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith(f"/{model}")


@pytest.mark.parametrize(("model", "title"), EXAMPLES)
async def test_examples_are_right(model: str, title: str) -> None:
    """Every example is a request that would be taken, or an answer that could be given."""
    example = all_examples()[model][title]
    kind = find_model(model)
    assert kind is not None
    kind.model_validate(example)
    assert model != "PaymentRequest" or not find_cross_faults(example)


async def test_the_page_shows_every_operation(refusing_shop: WebShop) -> None:
    """Each operation has its place on the page, a line in the contents, and a command that calls it."""
    page, document = await read_page(refusing_shop), await read_document(refusing_shop)
    for methods in document["paths"].values():
        for operation in methods.values():
            anchor = operation["operationId"].replace("_", "-")
            assert f'<section id="{anchor}"' in page
            assert page.count(f'href="#{anchor}"') >= 3
    assert f"curl {BASE_URL}/tokenize" in page
    assert f"curl {BASE_URL}/payment/10000042" in page


@pytest.mark.parametrize(
    "field",
    ["paymentSource.number", "paymentSource.token", "sku.price[].amount", "consumer.ip", "url.ipnUrl", "metadata"],
)
async def test_the_page_shows_every_field_by_its_path(refusing_shop: WebShop, field: str) -> None:
    """Fields of requests stand under the path by which errors name them."""
    page = await read_page(refusing_shop)
    shown = re.findall(r'<a class="field" href="#post-payment[^"]*">(.*?)</a>', page)
    assert field in {re.sub("<.*?>", "", one) for one in shown}


async def test_the_page_tells_bounds_and_duties(refusing_shop: WebShop) -> None:
    """A row says whether the field is required, how long it may be, and gives an example."""
    page = await read_page(refusing_shop)
    row = page[page.index('id="post-payment.sku.price.currency"') :].partition("</tr>")[0]
    assert "required" in row
    row = page[page.index('id="post-payment.sku.price.amount"') :].partition("</tr>")[0]
    assert "required" not in row
    assert "0 or more" in row
    assert "example <code>19.99</code>" in row


async def test_the_page_lists_every_payment_code(refusing_shop: WebShop) -> None:
    """Each code stands with its text and the advice what to do."""
    page = await read_page(refusing_shop)
    for code in list_codes():
        row = page[page.index(f'id="code-{code.code}"') :].partition("</tr>")[0]
        assert code.text in unescape(row)
        assert code.advice in row


async def test_links_lead_somewhere(refusing_shop: WebShop) -> None:
    """Every address within the page has its place there, and no two places share a name."""
    page = await read_page(refusing_shop)
    places = re.findall(r'\bid="([^"]+)"', page)
    assert len(places) == len(set(places))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(places)


async def test_the_page_needs_nobody_else(refusing_shop: WebShop) -> None:
    """There is no script, no style within the page, and nothing is fetched from anywhere else; the policy says so."""
    answer = await refusing_shop.client.get("/docs")
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", answer.text)
    assert not re.search(r'<(?:link|img|iframe)[^>]*(?:href|src)="(?!/[^/])', answer.text)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/docs/docs.css", "/static/tollhouse.css", "/static/tollhouse.svg"])
async def test_looks_are_sent_once(refusing_shop: WebShop, path: str) -> None:
    """A browser that has a file gets 304, and another one the file."""
    answer = await refusing_shop.client.get(path)
    assert answer.status_code == 200
    assert len(answer.content) > 100
    again = await refusing_shop.client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""


async def test_no_other_file_is_served(refusing_shop: WebShop) -> None:
    """A name that is none of ours is not found, wherever it points."""
    for name in ("nothing.css", "..%2Fapp.py", "%2e%2e"):
        assert (await refusing_shop.client.get(f"/static/{name}")).status_code == 404
