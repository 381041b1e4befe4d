"""Every call that takes an `X-Request-ID` runs once under it, and its repeats get the first response."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

import httpx
from tests.support.every_route import fill
from tests.support.webshop import IPN_URL, REDIRECT_URL, OpenShop, WebShop, card, price

from tollhouse.ipn.number import number_batch

URLS = {"ipnUrl": IPN_URL, "redirectUrl": REDIRECT_URL}
#: Calls that answer by what is stored of a payment, also while no response is recorded.
PAYMENTS = {
    "/payment",
    "/payment/{transactionId}/capture",
    "/payment/{transactionId}/void",
    "/payment/{transactionId}/credit",
    "/stage/chargeback/{transactionId}",
    "/subscription/{subscriptionId}/paymentAccount",
}
#: Rows of a call besides those of the gateway's common tables.
TABLES = (
    "request_claim",
    "payment",
    "transaction",
    "event",
    "delivery",
    "site",
    "sku",
    "consumer",
    "payment_link",
    "phone_code",
)

numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Call:
    """A request about something of its own, and another body for the same path."""

    method: str
    path: str
    body: dict[str, Any]
    other_body: dict[str, Any]

    async def send(self, shop: WebShop, request_id: str, *, key: str, is_other: bool = False) -> httpx.Response:
        """Send it under an id."""
        send = shop.put if self.method == "PUT" else shop.post
        headers = {"X-Request-ID": request_id}
        return await send(self.path, self.other_body if is_other else self.body, key=key, headers=headers)


async def prepare(shop: WebShop, path: str) -> Call:
    """Build a request to a path, about a new payment or subscription where it names one."""
    number = next(numbers)
    ids = {"channel": "sms", **await make_subject(shop, path)}
    body, changes = bodies(shop, number)[path]
    return Call("PUT" if path.startswith("/subscription") else "POST", fill(path, ids), body, body | changes)


async def make_subject(shop: WebShop, path: str) -> dict[str, str]:
    """Pay or subscribe for a path that names a transaction or a subscription, and return its id."""
    if "{subscriptionId}" in path:
        paid = await shop.pay(shop.payment(sku={"name": "PREMIUM_MONTHLY"}))
        return {"subscriptionId": paid.json()["subscription"]["id"]}
    if "{transactionId}" in path:
        sku = shop.sku(price(offset="3d")) if path.endswith("/capture") else shop.sku()
        paid = await shop.pay(shop.payment(sku=sku))
        await number_batch(shop.gateway.database)
        await shop.execute("update delivery_host set paused_until = 'infinity'")  # nobody waits for an attempt
        return {"transactionId": paid.json()["payment"]["transactionId"]}
    return {}


def bodies(shop: WebShop, number: int) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return a body for each path, and changes that make another one of it."""
    site_id = str(shop.merchant.site_id)
    sku = {"siteId": site_id, "title": "E-book", "type": "one-time", "amount": 9.99, "currency": "USD"}
    return {
        "/payment": (shop.payment(), {"metadata": {"order": 7}}),
        "/payment/{transactionId}/capture": ({}, {"amount": 1}),
        "/payment/{transactionId}/void": ({}, {"reason": "Late"}),
        "/payment/{transactionId}/credit": ({"reason": "Late"}, {"reason": "Broken"}),
        "/paymentPage": ({"sku": shop.sku() | {"url": URLS}}, {"metadata": {"order": 7}}),
        "/stage/chargeback/{transactionId}": ({"amount": 5}, {"amount": 6}),
        "/subscription/{subscriptionId}/paymentAccount": (
            {"paymentSource": {"type": "card"} | card("mastercard")},
            {"paymentSource": {"type": "card"} | card("visa")},
        ),
        "/site": ({"name": f"shop-{number}.example", "externalId": f"shop-{number}"} | URLS, {"name": "other.example"}),
        "/sku": (sku, {"title": "Other"}),
        "/consumer": ({"externalId": f"user-{number}"}, {"country": "GBR"}),
        "/testPaymentData": ({"type": "visa", "balance": 10, "currency": "USD"}, {"balance": 11}),
        "/antifraud/verification/{channel}/send": ({"phone": f"+1500555{number:04}"}, {"from": "Other"}),
        "/transaction/{transactionId}/ipn": ({}, {"url": "http://127.0.0.1:9/other"}),
        "/events/resend": ({"onlyFailed": False}, {"onlyFailed": True}),
    }


def find_paths(shop: WebShop) -> list[str]:
    """Return the paths of all calls that remember an id."""
    return sorted(route.path for route in shop.web.routes if route.takes_request_id and route.needs_key)


async def test_every_call_that_takes_an_id_is_tested(shop: WebShop) -> None:
    """There is a request for each call of the route table that remembers an id."""
    assert find_paths(shop) == sorted(bodies(shop, 0))


async def test_repeats_get_the_first_response(shop: WebShop, opened: OpenShop) -> None:
    """A repeat, also at another node, gets the status and bytes of the first response, marked, and stores nothing."""
    nodes = (shop, await opened(keys=shop.gateway.vault.keys))
    for path in find_paths(shop):
        call = await prepare(shop, path)
        first = await call.send(shop, "repeated", key=shop.merchant.key)
        assert (first.is_success, "idempotent-replay" in first.headers) == (True, False), (path, first.text)
        stored = await shop.count_rows(TABLES)
        for node in nodes:
            again = await call.send(node, "repeated", key=shop.merchant.key)
            assert (again.status_code, again.content) == (first.status_code, first.content), path
            assert again.headers["idempotent-replay"] == "true", path
        assert await shop.count_rows(TABLES) == stored, path


async def test_an_id_with_another_body_is_refused(shop: WebShop) -> None:
    """Another body under a known id is 422 at every call, and stores nothing."""
    for path in find_paths(shop):
        call = await prepare(shop, path)
        assert (await call.send(shop, "reused", key=shop.merchant.key)).is_success, path
        stored = await shop.count_rows(TABLES)
        other = await call.send(shop, "reused", key=shop.merchant.key, is_other=True)
        assert (other.status_code, other.json()["errors"]) == (422, {}), path
        assert await shop.count_rows(TABLES) == stored, path


async def test_of_equal_requests_at_once_one_runs(shop: WebShop, opened: OpenShop) -> None:
    """Of equal requests at once at two nodes one runs, and the others get its response."""
    nodes = (shop, await opened(keys=shop.gateway.vault.keys))
    for path in find_paths(shop):
        call = await prepare(shop, path)
        sending = (call.send(node, "at-once", key=shop.merchant.key) for node in nodes * 3)
        answers = await asyncio.gather(*sending)
        assert {answer.is_success for answer in answers} == {True}, (path, [answer.text for answer in answers])
        assert len({answer.content for answer in answers}) == 1, path
        assert [answer.headers.get("idempotent-replay") for answer in answers].count(None) == 1, path


async def test_a_request_without_a_response_is_still_in_progress(shop: WebShop, opened: OpenShop) -> None:
    """A repeat of a request that has no response yet is 409 with `Retry-After`, and another body is 422."""
    hasty = await opened(keys=shop.gateway.vault.keys, answer_seconds=0.1)
    for path in set(find_paths(shop)) - PAYMENTS:
        call = await prepare(shop, path)
        assert (await call.send(shop, "running", key=shop.merchant.key)).is_success, path
        await shop.execute("update request_claim set status = null, answer = null where request_id = 'running'")
        again = await call.send(hasty, "running", key=shop.merchant.key)
        assert (again.status_code, again.json()["errors"]) == (409, {}), path
        assert int(again.headers["retry-after"]) >= 1, path
        other = await call.send(hasty, "running", key=shop.merchant.key, is_other=True)
        assert other.status_code == 422, path
