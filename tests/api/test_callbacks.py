"""Callbacks read back and sent again, with the worker's own loops and a merchant's server."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from aiohttp import web
from tests.support.callbacks import Endpoint, hang, open_endpoint, wait_until
from tests.support.webshop import REDIRECT_URL, OpenShop, WebShop, card

from tollhouse.client import SignatureMismatch, read_ipn
from tollhouse.ipn.delivery.attempt import SecretsOf
from tollhouse.ipn.delivery.deliver import DeliveryRules
from tollhouse.kernel.urls import STAGE
from tollhouse.merchants.secrets import IpnSecrets, begin_rotation, finish_rotation, new_ipn_secret
from tollhouse.worker.events import deliver_events, number_events

LONG = 2**63


@asynccontextmanager
async def work(
    shop: WebShop, *, secrets_of: SecretsOf | None = None, rules: DeliveryRules | None = None
) -> AsyncIterator[None]:
    """Number and deliver events, as a worker does."""
    stop, numbered, database = asyncio.Event(), asyncio.Event(), shop.gateway.database
    async with asyncio.TaskGroup() as group:
        group.create_task(number_events(database, stop=stop, wake=shop.gateway.wake, numbered=numbered))
        group.create_task(
            deliver_events(
                database,
                secrets_of=secrets_of or shop.gateway.secrets.of,
                policy=STAGE,
                stop=stop,
                wake=numbered,
                rules=rules,
            )
        )
        try:
            yield
        finally:
            stop.set()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """A merchant's server."""
    async with open_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
async def working(shop: WebShop) -> AsyncIterator[WebShop]:
    """The application with a worker."""
    async with work(shop):
        yield shop


def urls(endpoint: Endpoint) -> dict[str, str]:
    """Send the callback of a payment to an endpoint."""
    return {"ipnUrl": endpoint.url, "redirectUrl": REDIRECT_URL}


async def pay(shop: WebShop, endpoint: Endpoint, **parts: Any) -> dict[str, Any]:
    """Pay, wait until the callback was posted and recorded, and return the `payment` of the answer."""
    answer = await shop.pay(shop.payment(url=urls(endpoint), **parts))
    assert answer.status_code == 201, answer.text
    block: dict[str, Any] = answer.json()["payment"]
    await wait_until(lambda: is_recorded(shop, block["transactionId"]))
    return block


async def is_recorded(shop: WebShop, transaction_id: str) -> bool:
    """Whether an attempt at the callback of a transaction is in the log."""
    found = await shop.get(f"/transaction/{transaction_id}/ipn")
    return found.status_code == 200 and found.json()["attemptNumber"] > 0


async def resend(shop: WebShop, transaction_id: str, body: Any = None, **request: Any) -> httpx.Response:
    """Ask for a callback once more."""
    return await shop.post(f"/transaction/{transaction_id}/ipn", body if body is not None else [], **request)


async def test_the_log_tells_of_the_newest_attempt(working: WebShop, endpoint: Endpoint) -> None:
    """A record has what was posted where, and what came back; every field is a text but the attempt's number."""
    block = await pay(working, endpoint)
    record = (await working.get(f"/transaction/{block['transactionId']}/ipn")).json()
    assert record == {
        "url": endpoint.url,
        "request": endpoint.seen[0].body.decode(),
        "response": "",
        "orderId": block["orderId"],
        "transactionId": block["transactionId"],
        "execTime": record["execTime"],
        "httpCode": "200",
        "error": "",
        "attemptNumber": 1,
        "eventId": endpoint.event_ids[0],
        "deliveryNumber": 1,
        "format": "json",
        "state": "delivered",
        "sentAt": record["sentAt"],
    }
    assert float(record["execTime"]) >= 0
    of_order = (await working.get(f"/order/{block['orderId']}/ipn")).json()
    assert of_order == record | {"records": [record]}


async def test_sent_again_to_its_own_url(working: WebShop, endpoint: Endpoint) -> None:
    """Without a URL the callback goes where it went, with the same id and bytes, as a delivery of its own."""
    block = await pay(working, endpoint)
    answer = await resend(working, block["transactionId"])
    assert (answer.status_code, answer.json()["httpCode"], answer.json()["deliveryNumber"]) == (201, "200", 2)
    first, second = endpoint.seen
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])


async def test_sent_again_elsewhere(working: WebShop, endpoint: Endpoint) -> None:
    """With a URL the callback goes there; what the server says is in the answer, and in the order's records."""
    block = await pay(working, endpoint)
    async with open_endpoint(503) as other:
        answer = await resend(working, block["transactionId"], {"url": other.url})
    assert answer.status_code == 201
    assert [answer.json()[name] for name in ("url", "httpCode", "error", "attemptNumber", "state")] == [
        other.url,
        "503",
        "not_acknowledged",
        1,
        "waiting",
    ]
    records = (await working.get(f"/order/{block['orderId']}/ipn")).json()["records"]
    assert [(record["url"], record["httpCode"]) for record in records] == [(other.url, "503"), (endpoint.url, "200")]


async def test_sent_once_for_a_request_id(working: WebShop, endpoint: Endpoint) -> None:
    """Requests under one id at once send the callback once, and all get the same bytes; another body is refused."""
    block = await pay(working, endpoint)
    headers = {"X-Request-ID": "again-1"}
    answers = await asyncio.gather(*(resend(working, block["transactionId"], headers=headers) for _ in range(3)))
    assert len({answer.content for answer in answers}) == 1
    assert sorted("idempotent-replay" in answer.headers for answer in answers) == [False, True, True]
    assert len(endpoint.seen) == 2
    refused = await resend(working, block["transactionId"], {"url": endpoint.url}, headers=headers)
    assert refused.status_code == 422


async def test_an_address_that_is_refused_at_every_attempt_is_refused_at_once(
    working: WebShop, endpoint: Endpoint
) -> None:
    """A resend to where callbacks may never go is 400, and makes no delivery."""
    block = await pay(working, endpoint)
    for url in ("http://169.254.169.254/latest", "http://a:b@127.0.0.1/", "http://127.0.0.1:0/", "http://127.1/"):
        answer = await resend(working, block["transactionId"], {"url": url})
        assert (answer.status_code, set(answer.json()["errors"])) == (400, {"url"})
    assert len(endpoint.seen) == 1


@pytest.mark.parametrize("url", ["ftp://a.example/", "nowhere", 7, {"a": 1}, "http://a.example/" + "x" * 2048])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_faulty_url_is_named(refusing_shop: WebShop, url: Any) -> None:
    """What is no URL is refused before anything is looked up."""
    answer = await resend(refusing_shop, "10000000", {"url": url})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["url"])


async def test_nobody_waits_for_ever(opened: OpenShop) -> None:
    """When no worker runs, the record comes back without an attempt, and the delivery waits for one."""
    shop = await opened(answer_seconds=0.05)
    async with open_endpoint() as endpoint:
        async with work(shop):
            block = await pay(shop, endpoint)
        record = (await resend(shop, block["transactionId"])).json()
    assert (record["attemptNumber"], record["httpCode"], record["state"]) == (0, "", "waiting")


async def test_nobody_waits_for_an_endpoint_that_fails(working: WebShop, endpoint: Endpoint) -> None:
    """An endpoint that is left alone for a while gets the callback later; the record comes back at once."""
    block = await pay(working, endpoint)
    await working.execute("update delivery_host set failures = 9, paused_until = now() + '1 hour'")
    record = (await resend(working, block["transactionId"])).json()
    assert (record["attemptNumber"], record["state"]) == (0, "waiting")
    assert len(endpoint.seen) == 1


async def test_a_resend_overtakes_what_hangs(working: WebShop, endpoint: Endpoint) -> None:
    """A resend does not wait for the regular delivery, nor the other way round."""
    async with open_endpoint(hang) as hanging:
        answer = await working.pay(working.payment(url=urls(hanging)))
        await wait_until(lambda: hanging.under_way == 1)
        record = await resend(working, answer.json()["payment"]["transactionId"], {"url": endpoint.url})
    assert record.json()["httpCode"] == "200"


async def test_while_it_is_open_there_is_nothing_to_send(shop: WebShop) -> None:
    """A pending transaction has no callback: reading is 404, sending again 409, and the request id stays free."""
    answer = await shop.pay(shop.payment({"type": "card", "3ds": True} | card("challenge")))
    block = answer.json()["payment"]
    assert block["status"] == "pending"
    assert (await shop.get(f"/transaction/{block['transactionId']}/ipn")).status_code == 404
    assert (await shop.get(f"/order/{block['orderId']}/ipn")).status_code == 404
    refused = await resend(shop, block["transactionId"], headers={"X-Request-ID": "early"})
    assert (refused.status_code, refused.headers["retry-after"]) == (409, "2")
    assert await shop.fetch("select from request_claim where request_id = 'early'") == []


async def test_deliveries_of_one_event_are_bounded(working: WebShop, endpoint: Endpoint) -> None:
    """After a hundred deliveries of one event nobody gets it once more."""
    block = await pay(working, endpoint)
    await working.execute(
        "insert into delivery (merchant_id, event_id, position, number, host_id, url, state, due_at, created_at)"
        " select merchant_id, event_id, position, 100, host_id, url, 'failed', due_at, created_at from delivery"
    )
    answer = await resend(working, block["transactionId"])
    assert (answer.status_code, answer.json()["errors"]) == (400, {})


@pytest.mark.parametrize("path", ["transaction/{transactionId}/ipn", "order/{orderId}/ipn"])
async def test_callbacks_of_others_are_not_there(working: WebShop, endpoint: Endpoint, path: str) -> None:
    """Another merchant's ids, and what is no id, are 404; without a key it is 401."""
    block = await pay(working, endpoint)
    own = f"/{path.format(**block)}"
    assert (await working.get(own, key=working.other.key)).status_code == 404
    assert (await working.get(own, key="x")).status_code == 401
    for text in ("0", "x", "1" * 20, str(LONG), "1%00"):
        assert (await working.get(f"/{path.partition('{')[0]}{text}/ipn")).status_code == 404
    if "transaction" in path:
        assert (await resend(working, block["transactionId"], key=working.other.key)).status_code == 404
        assert (await working.post(own, [], key="x")).status_code == 401
    assert len(endpoint.seen) == 1


async def test_a_shop_with_the_plugin_hears_what_it_understands(opened: OpenShop, endpoint: Endpoint) -> None:
    """A site with the plugin's format gets a sale as JSON only; with the legacy format as a form that verifies."""
    shop = await opened()
    for format_ in ("plugin", "legacy", "none"):
        await shop.execute("update site set ipn_format = $1", format_)
        fresh = await opened()
        await fresh.pay(fresh.payment(url=urls(endpoint), metadata={"wp_order_id": 7}))
    async with work(shop):
        await wait_until(lambda: len(endpoint.seen) == 2)
        await wait_until(lambda: is_all_told(shop))
    by_type = {seen.headers["Content-Type"]: seen.body.decode() for seen in endpoint.seen}
    form = parse_qs(by_type["application/x-www-form-urlencoded"])
    [row] = await shop.fetch("select payment_id from event where format = 'legacy'")
    plain = f"secret_{row['payment_id']}_sale_successful_secret"
    assert form["sign"] == [hashlib.sha1(plain.encode()).hexdigest()]  # noqa: S324 - as the plugin does
    assert "YToxOntzOjExOiJ3cF9vcmRlcl9pZCI7aTo3O30=" in form["ipn"][0]
    record = (await shop.get(f"/order/{row['payment_id']}/ipn")).json()
    assert (record["format"], record["request"]) == ("legacy", form["ipn"][0])


async def is_all_told(shop: WebShop) -> bool:
    """Whether every event has its number and every delivery its end."""
    [row] = await shop.fetch(
        "select not exists (select from unnumbered_event)"
        " and not exists (select from delivery where state not in ('delivered', 'failed')) as told"
    )
    return bool(row["told"])


async def test_events_are_read_in_pages_without_a_gap(working: WebShop, endpoint: Endpoint) -> None:
    """Events come in the order of their numbers, page after page, each once, with the bodies that were posted."""
    for number in range(5):
        await pay(working, endpoint, metadata={"n": number})
    read: list[Any] = []
    after, more = 0, True
    while more:
        page = (await working.get(f"/events?after={after}&limit=2")).json()
        assert len(page["data"]) <= 2
        read += page["data"]
        after, more = page["meta"]["after"], page["meta"]["hasMore"]
    assert [event["sequence"] for event in read] == [1, 2, 3, 4, 5]
    assert [event["id"] for event in read] == endpoint.event_ids
    assert [event["body"]["metadata"]["n"] for event in read] == [0, 1, 2, 3, 4]
    assert {(event["kind"], event["status"]) for event in read} == {("sale", "success")}
    bodies = [seen.body for seen in endpoint.seen]
    raw = (await working.get("/events")).content
    assert all(body in raw for body in bodies)
    assert (await working.get("/events?limit=5")).json()["meta"] == {"limit": 5, "after": 5, "hasMore": False}
    assert (await working.get(f"/events?after={after}")).json() == {
        "data": [],
        "meta": {"limit": 50, "after": 5, "hasMore": False},
    }
    assert (await working.get("/events", key=working.other.key)).json()["data"] == []


@pytest.mark.parametrize(
    ("query", "faulty"),
    [
        ("after=-1", {"after"}),
        ("after=x&limit=0", {"after", "limit"}),
        ("limit=101", {"limit"}),
        (f"after={LONG}", {"after"}),
        ("after=1.5", {"after"}),
        ("limit=%00", {"limit"}),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_faulty_queries_are_named(refusing_shop: WebShop, query: str, faulty: set[str]) -> None:
    """Every faulty parameter is named."""
    answer = await refusing_shop.get(f"/events?{query}")
    assert (answer.status_code, set(answer.json()["errors"])) == (400, faulty)


class ExactListener:
    """A listener that knows one secret and compares as the public PHP client does."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.heard: list[str] = []
        self.refused = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Acknowledge a callback whose signature is made with the listener's secret."""
        payment = (await request.json())["payment"]
        signed = f"{self.secret}{payment['transactionId']}{payment['status']}"
        if request.headers["X-Signature"] != hashlib.sha256(signed.encode()).hexdigest():
            self.refused += 1
            return web.Response(status=401)
        self.heard.append(payment["transactionId"])
        return web.Response()


@asynccontextmanager
async def work_with_fresh_secrets(shop: WebShop) -> AsyncIterator[None]:
    """Deliver as a worker that starts now and repeats after a moment; it has not remembered any secret yet."""
    vault, moment = shop.gateway.vault, timedelta(seconds=0.05)
    fresh = IpnSecrets(
        shop.gateway.database,
        lambda merchant_id, sealed: vault.open_secret(sealed, bound_to=f"ipn|{merchant_id}"),
    )
    rules = DeliveryRules(waits=[moment] * 13, first_pause=moment, longest_pause=moment)
    async with work(shop, secrets_of=fresh.of, rules=rules):
        yield


@pytest.mark.parametrize("switches", ["before the rotation is finished", "after it is finished"])
async def test_listener_that_switches_secrets_misses_nothing(shop: WebShop, switches: str) -> None:
    """Whenever a listener that compares exactly takes up the new secret, each callback is acknowledged in the end."""
    listener, merchant_id, vault = ExactListener("secret"), shop.merchant.merchant_id, shop.gateway.vault
    new = new_ipn_secret()
    async with open_endpoint(listener.answer) as endpoint:

        async def sell() -> str:
            answer = await shop.pay(shop.payment(url=urls(endpoint)))
            assert answer.status_code == 201, answer.text
            return str(answer.json()["payment"]["transactionId"])

        async with work_with_fresh_secrets(shop):
            sold = [await sell()]
            await wait_until(lambda: listener.heard == sold)
        async with shop.gateway.database.transaction() as connection:
            sealed = vault.seal_secret(new, bound_to=f"ipn|{merchant_id}")
            await begin_rotation(connection, merchant_id=merchant_id, sealed=sealed)
        async with work_with_fresh_secrets(shop):
            sold.append(await sell())
            await wait_until(lambda: listener.heard == sold)
            if switches.startswith("before"):
                listener.secret = new
                sold.append(await sell())
                await wait_until(lambda: listener.refused > 0)
        async with shop.gateway.database.transaction() as connection:
            await finish_rotation(connection, merchant_id=merchant_id)
        async with work_with_fresh_secrets(shop):
            if switches.startswith("after"):
                sold.append(await sell())
                await wait_until(lambda: listener.refused > 0)
                listener.secret = new
            sold.append(await sell())
            await wait_until(lambda: sorted(listener.heard) == sorted(sold))


async def test_modern_signature_has_both_secrets(shop: WebShop, endpoint: Endpoint) -> None:
    """In a rotation the client takes a callback with the old secret, with the new one and with both."""
    merchant_id, new = shop.merchant.merchant_id, new_ipn_secret()
    async with shop.gateway.database.transaction() as connection:
        sealed = shop.gateway.vault.seal_secret(new, bound_to=f"ipn|{merchant_id}")
        await begin_rotation(connection, merchant_id=merchant_id, sealed=sealed)
    async with work_with_fresh_secrets(shop):
        block = await pay(shop, endpoint)
    [seen] = endpoint.seen
    for secrets in ("secret", new, ["secret", new]):
        ipn = read_ipn(seen.body, seen.headers, secrets)
        assert ipn.payment is not None
        assert ipn.payment.transaction_id == block["transactionId"]
    with pytest.raises(SignatureMismatch):
        read_ipn(seen.body, seen.headers, "another")


async def test_many_are_sent_again_once_for_a_request_id(working: WebShop, endpoint: Endpoint) -> None:
    """A repeat with the same X-Request-ID gets the first answer and sends nothing."""
    for _ in range(2):
        await pay(working, endpoint)
    body = {"onlyFailed": False, "endpoint": endpoint.url}
    first = await working.post("/events/resend", body, headers={"X-Request-ID": "again"})
    assert (first.status_code, first.json()) == (201, {"resent": 2, "skipped": 0, "after": 2, "hasMore": False})
    await wait_until(lambda: len(endpoint.seen) == 4)
    repeat = await working.post("/events/resend", body, headers={"X-Request-ID": "again"})
    assert (repeat.content, repeat.headers["idempotent-replay"]) == (first.content, "true")
    assert (await working.post("/events/resend", {"after": 2})).json() == {
        "resent": 0, "skipped": 0, "after": 2, "hasMore": False
    }  # fmt: skip
    assert len(endpoint.seen) == 4
    assert sorted(endpoint.event_ids[:2]) == sorted(endpoint.event_ids[2:])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"upTo": 3}, "upTo"),
        ({"until": ""}, "until"),
        ({"endpoint": ""}, "endpoint"),
        ({"endpoint": "shop"}, "endpoint"),
        ({"from": "yesterday"}, "from"),
        ({"after": -1}, "after"),
    ],
)
async def test_doubtful_range_sends_nothing(shop: WebShop, body: dict[str, Any], field: str) -> None:
    """A blank or misspelled bound is refused, for without it the call would send more than was meant."""
    refused = await shop.post("/events/resend", body)
    assert refused.status_code == 400
    assert field in refused.json()["errors"]
