"""`X-Request-ID` on payments: a repeat gets the first answer, byte for byte, and nothing is charged twice."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from tests.support.callbacks import wait_until
from tests.support.webshop import OpenShop, WebShop, card, dump, expect_rejection

HEADERS = {"X-Request-ID": "order-4711"}
MADE = ("payment", "transaction", "attempt", "event", "request_claim")
ONE_OF_EACH = dict.fromkeys(MADE, 1)


def reorder(content: Any) -> Any:
    """Turn the order of all keys round."""
    if isinstance(content, Mapping):
        return {name: reorder(content[name]) for name in reversed(list(content))}
    return [reorder(one) for one in content] if isinstance(content, list) else content


async def test_repeat_gets_the_first_response(shop: WebShop) -> None:
    """A repeat gets the same status and bytes, marked as a replay; the first response is not marked."""
    body = shop.payment(metadata={"b": 1.50, "a": [True, None]})
    first = await shop.pay(body, headers=HEADERS)
    assert first.status_code == 201
    assert "idempotent-replay" not in first.headers
    for _ in range(2):
        again = await shop.pay(body, headers=HEADERS)
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotent-replay"] == "true"
        assert again.headers["content-type"] == first.headers["content-type"]
    assert await shop.count_rows(MADE) == ONE_OF_EACH


async def test_repeated_decline_calls_no_issuer(shop: WebShop) -> None:
    """The repeat of a decline gets the same bytes and calls no issuer."""
    body = shop.payment({"type": "card"} | card("decline_05"))
    first = await shop.pay(body, headers=HEADERS)
    again = await shop.pay(body, headers=HEADERS)
    assert first.json()["payment"]["status"] == "fail"
    assert again.content == first.content
    assert await shop.count_rows(MADE) == ONE_OF_EACH


async def test_equal_body_in_another_form_is_a_repeat(shop: WebShop) -> None:
    """A body is the same in another order of keys, with other spaces, escapes and names of headers."""
    body = shop.payment(metadata={"ä": {"x": 1, "y": 2}})
    first = await shop.pay(body, headers=HEADERS)
    forms = (
        dump(reorder(body)),
        json.dumps(body, indent=4).encode(),
        json.dumps(body, ensure_ascii=False).encode(),
    )
    for content in forms:
        again = await shop.pay(content=content, headers={"x-request-id": "order-4711"})
        assert again.content == first.content
        assert again.headers["idempotent-replay"] == "true"


async def test_another_body_is_422(shop: WebShop) -> None:
    """The same ID with another body is 422, and changes nothing."""
    body = shop.payment()
    first = await shop.pay(body, headers=HEADERS)
    stored = await shop.count_rows()
    others = (
        shop.payment(consumer=body["consumer"], sku=shop.sku(title="Other")),
        shop.payment(consumer=body["consumer"], metadata={"a": 1}),
        shop.payment({"type": "card"} | card("mastercard"), consumer=body["consumer"]),
        shop.payment({"type": "card"} | card(expirationMonth="11"), consumer=body["consumer"]),
        shop.payment(consumer=body["consumer"] | {"ip": "203.0.113.46"}),
        shop.payment({"type": "token", "token": await shop.token()}, consumer=body["consumer"]),
    )
    stored |= {"token": 1, "security_code": 1}
    for other in others:
        answer = await shop.pay(other, headers=HEADERS)
        await expect_rejection(shop, answer, status=422, stored=stored)
        assert answer.headers["x-request-id"] == "order-4711"
    assert (await shop.pay(body, headers=HEADERS)).content == first.content


async def test_faulty_body_under_a_used_id_is_422(shop: WebShop) -> None:
    """A used ID with another body is 422, however faulty that body is; a free one is 400 and stays free."""
    body = shop.payment()
    faulty = body | {"sku": {"name": "GOLD"}, "consumer": {}, "paymentSource": {"type": "cash"}}
    assert (await shop.pay(faulty, headers=HEADERS)).status_code == 400
    first = await shop.pay(body, headers=HEADERS)
    stored = await shop.count_rows()
    for other in (faulty, {}, body | {"consumer": body["consumer"] | {"ip": "x"}}):
        await expect_rejection(shop, await shop.pay(other, headers=HEADERS), status=422, stored=stored)
    assert (await shop.pay(body, headers=HEADERS)).content == first.content


async def test_repeat_with_an_expired_card_gets_the_first_response(shop: WebShop, opened: OpenShop) -> None:
    """A valid request has its first response, even if it would be rejected today."""
    body = shop.payment({"type": "card"} | card(expirationYear="20"))
    first = await shop.pay(body, headers=HEADERS)
    live = await opened(environment="live", keys=shop.gateway.vault.keys)
    again = await live.pay(body, headers=HEADERS, key=live.merchant.key)
    assert (again.status_code, again.content) == (201, first.content)


async def test_security_code_may_differ_in_a_repeat(shop: WebShop) -> None:
    """The security code alone may differ in a repeat, because nothing computed from it is stored."""
    consumer = shop.payment()["consumer"]
    first, again = [
        await shop.pay(shop.payment({"type": "card"} | card(cvv=cvv), consumer=consumer), headers=HEADERS)
        for cvv in ("009", "010")
    ]
    assert again.content == first.content


async def test_malformed_id_is_rejected(shop: WebShop) -> None:
    """An ID is 1 to 128 visible ASCII characters; the response to another has a generated one."""
    for sent in (" ", "a b", "x" * 129, "id\t1", "idé", "\x7f"):
        answer = await shop.pay(headers={"X-Request-ID": sent})
        await expect_rejection(shop, answer, "X-Request-ID")
        assert re.fullmatch(r"[0-9a-f-]{16,36}", answer.headers["x-request-id"])
    for sent in ("!", "~" * 128, '"quoted"', "a/b?c=d&e#f", "0"):
        answer = await shop.pay(headers={"X-Request-ID": sent})
        assert answer.status_code == 201
        assert answer.headers["x-request-id"] == sent


async def test_request_without_an_id_gets_a_new_one(shop: WebShop) -> None:
    """A request without an ID gets a new one each time, and is never a repeat."""
    body = shop.payment()
    answers = [await shop.pay(body) for _ in range(3)]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    assert len({answer.json()["payment"]["transactionId"] for answer in answers}) == 3
    assert (await shop.count_rows(["request_claim"])) == {"request_claim": 0}


async def test_every_response_has_its_id(shop: WebShop) -> None:
    """Every response has the ID of its request, and so has the row of the event."""
    paths = ("/payment/1", "/nowhere", "/healthz", "/openapi.json", "/metrics")
    for path in paths:
        assert (await shop.get(path, **HEADERS)).headers["x-request-id"] == "order-4711"
    assert (await shop.pay(key="wrong", headers=HEADERS)).headers["x-request-id"] == "order-4711"
    assert (await shop.pay({}, headers=HEADERS)).headers["x-request-id"] == "order-4711"
    assert (await shop.client.delete("/payment", headers=HEADERS)).headers["x-request-id"] == "order-4711"
    assert (await shop.pay(headers=HEADERS)).headers["x-request-id"] == "order-4711"
    assert (await shop.fetch("select request_id from event"))[0]["request_id"] == "order-4711"


async def test_reads_ignore_the_id(shop: WebShop) -> None:
    """The ID of a read names the request in the logs and nothing else."""
    transaction_id = (await shop.pay(headers=HEADERS)).json()["payment"]["transactionId"]
    for sent in ("order-4711", "not well formed"):
        answer = await shop.get(f"/payment/{transaction_id}", **{"X-Request-ID": sent})
        assert answer.status_code == 200
        assert "idempotent-replay" not in answer.headers


async def test_one_of_equal_concurrent_requests_pays(shop: WebShop, opened: OpenShop) -> None:
    """Of equal concurrent requests, also on two nodes, one pays and the others get its response."""
    other_node = await opened(keys=shop.gateway.vault.keys)
    body = shop.payment()
    nodes = (shop, other_node) * 8
    answers = await asyncio.gather(*(node.pay(body, key=shop.merchant.key, headers=HEADERS) for node in nodes))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert [answer.headers.get("idempotent-replay") for answer in answers].count(None) == 1
    assert await shop.count_rows(MADE) == ONE_OF_EACH
    assert (await shop.fetch("select count(*) from simulator.journal"))[0][0] == 1


async def test_one_of_different_concurrent_requests_pays(shop: WebShop) -> None:
    """Of different concurrent requests with one ID one pays and the others are 422."""
    bodies = [shop.payment(metadata={"n": number}) for number in range(6)]
    answers = await asyncio.gather(*(shop.pay(body, headers=HEADERS) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 5
    assert await shop.count_rows(MADE) == ONE_OF_EACH


async def test_rejection_leaves_the_id_free(shop: WebShop) -> None:
    """An ID is free again after 400, 401, 413 and 415, because nothing was begun under it."""
    body = shop.payment()
    for answer, status in (
        (await shop.pay(shop.payment(sku={"name": "GOLD"}), headers=HEADERS), 400),
        (await shop.pay(content=b"{", headers=HEADERS), 400),
        (await shop.pay(body, key="wrong", headers=HEADERS), 401),
        (await shop.pay(content=b" " * 70_000, headers=HEADERS), 413),
        (await shop.pay(body, headers=HEADERS | {"Content-Type": "text/plain"}), 415),
    ):
        assert answer.status_code == status
    answer = await shop.pay(body, headers=HEADERS)
    assert answer.status_code == 201
    assert "idempotent-replay" not in answer.headers


async def test_used_token_leaves_the_id_free(shop: WebShop) -> None:
    """A request with a used token may be sent under the same ID with another token."""
    source = {"type": "token", "token": await shop.token()}
    assert (await shop.pay(shop.payment(source))).status_code == 201
    assert (await shop.pay(shop.payment(source), headers=HEADERS)).status_code == 400
    source = {"type": "token", "token": await shop.token()}
    answer = await shop.pay(shop.payment(source), headers=HEADERS)
    assert answer.status_code == 201
    assert "idempotent-replay" not in answer.headers


async def test_repeat_needs_neither_token_nor_site(shop: WebShop, opened: OpenShop) -> None:
    """A repeat gets its first response even if its token, its card and its site were deleted."""
    by_token = shop.payment({"type": "token", "token": await shop.token()})
    first = await shop.pay(by_token, headers=HEADERS)
    account = {"type": "paymentAccountId", "paymentAccountId": first.json()["payment"]["source"]["paymentAccountId"]}
    by_account = shop.payment(account, consumer={"ip": "203.0.113.45"})
    second = await shop.pay(by_account, headers={"X-Request-ID": "order-4712"})
    assert (first.status_code, second.status_code) == (201, 201)
    await shop.execute("delete from token")
    await shop.execute("delete from account")
    # Sites are remembered for a while: another node has not seen this one.
    other_node = await opened(keys=shop.gateway.vault.keys)
    await shop.execute("delete from sku where site_id = 983759353")
    await shop.execute("delete from site where site_id = 983759353")
    for body, answer, request_id in ((by_token, first, "order-4711"), (by_account, second, "order-4712")):
        again = await other_node.pay(body, key=shop.merchant.key, headers={"X-Request-ID": request_id})
        assert (again.status_code, again.content) == (201, answer.content)
        assert again.headers["idempotent-replay"] == "true"


async def test_ids_belong_to_merchants(shop: WebShop) -> None:
    """Two merchants may use the same ID, and neither gets the response of the other."""
    first = await shop.pay(headers=HEADERS)
    body = shop.payment(sku=shop.sku(siteId=str(shop.other.site_id)))
    other = await shop.pay(body, key=shop.other.key, headers=HEADERS)
    assert (first.status_code, other.status_code) == (201, 201)
    assert "idempotent-replay" not in other.headers
    assert first.json()["payment"]["orderId"] != other.json()["payment"]["orderId"]


async def test_ids_belong_to_operations(shop: WebShop) -> None:
    """An ID of `/tokenize` is not one of a payment."""
    token = (await shop.tokenize(headers=HEADERS)).json()["token"]
    answer = await shop.pay(shop.payment({"type": "token", "token": token}), headers=HEADERS)
    assert answer.status_code == 201
    assert "idempotent-replay" not in answer.headers


async def test_keys_of_one_merchant_share_ids(shop: WebShop, opened: OpenShop) -> None:
    """An ID belongs to the merchant: its API key may change between a request and its repeat."""
    again_opened = await opened(keys=shop.gateway.vault.keys)
    body = shop.payment()
    first = await shop.pay(body, headers=HEADERS)
    assert (await again_opened.pay(body, headers=HEADERS)).content == first.content


async def test_pending_response_is_repeated(opened: OpenShop) -> None:
    """A `pending` response is repeated as `pending` after the payment has finished; a lookup returns the result."""
    shop = await opened(answer_seconds=0.1, simulating={"slow_seconds": 0.5})
    body = shop.payment({"type": "card"} | card("slow"))
    first = await shop.pay(body, headers=HEADERS)
    payment = first.json()["payment"]
    assert first.status_code == 201
    assert (payment["status"], payment["action"], payment["code"]) == ("pending", "charge", "0")
    assert "url" not in payment
    await shop.gateway.parts.running.drain(seconds=5)
    settled = (await shop.get(f"/payment/{payment['transactionId']}")).json()["payment"]
    assert settled["status"] == "success"
    again = await shop.pay(body, headers=HEADERS)
    assert again.content == first.content


async def test_request_in_progress_on_another_node_is_409(opened: OpenShop) -> None:
    """A repeat waits for the same request on another node, and is 409 after a time-out."""
    shop = await opened(simulating={"slow_seconds": 0.6})
    keys = shop.gateway.vault.keys
    hasty, patient = [await opened(keys=keys, answer_seconds=seconds) for seconds in (0.1, 10)]
    body = shop.payment({"type": "card"} | card("slow"))
    running = asyncio.create_task(shop.pay(body, headers=HEADERS))
    await wait_until(lambda: is_begun(shop))
    refused = await hasty.pay(body, key=shop.merchant.key, headers=HEADERS)
    assert refused.status_code == 409
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["errors"] == {}
    repeated = await patient.pay(body, key=shop.merchant.key, headers=HEADERS)
    first = await running
    assert repeated.content == first.content
    assert repeated.headers["idempotent-replay"] == "true"
    assert await shop.count_rows(MADE) == ONE_OF_EACH


async def is_begun(shop: WebShop) -> bool:
    """Tell whether a payment has been begun."""
    return bool((await shop.count_rows(["payment"]))["payment"])


async def test_stored_digest_contains_no_card(shop: WebShop) -> None:
    """A stored body is only a keyed digest, and the stored response is masked."""
    await shop.pay(headers=HEADERS)
    claim = (
        await shop.fetch(
            "select digest, final_response_v1(merchant_id, payment_id, transaction_id) as answer from request_claim"
        )
    )[0]
    assert len(claim["digest"]) == 32
    assert not re.search(rb"\d{12}", re.sub(rb"10\d{14}", b"", claim["answer"]))
