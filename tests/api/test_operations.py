"""Captures, voids and credits over HTTP: shapes as clients read them, every refusal, and the issuer behind."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from tests.support.issuing import number_of
from tests.support.webshop import WebShop, card, price

REASON = {"reason": "Returned goods"}


async def authorize(shop: WebShop, name: str = "visa", **changes: Any) -> str:
    """Authorize 19.99 that is captured in three days, and return the transaction's id."""
    return await pay(shop, name, sku=shop.sku(price(offset="3d")), **changes)


async def pay(shop: WebShop, name: str = "visa", **changes: Any) -> str:
    """Pay 19.99 and return the transaction's id."""
    answer = await shop.pay(shop.payment({"type": "card"} | card(name), **changes))
    assert answer.json()["payment"]["status"] == "success", answer.text
    return str(answer.json()["payment"]["transactionId"])


def read(answer: httpx.Response) -> Any:
    """Return the answer's `payment` object, which creates."""
    assert answer.status_code == 201, answer.text
    return answer.json()["payment"]


async def refused(answer: httpx.Response, *paths: str, status: int = 400) -> dict[str, list[str]]:
    """Check a refusal: its status and that it names these fields and no others."""
    assert answer.status_code == status, answer.text
    errors: dict[str, list[str]] = answer.json()["errors"]
    assert set(errors) == set(paths), answer.text
    return errors


async def test_credit_response_has_the_objects_that_clients_read(shop: WebShop) -> None:
    """The response to a credit has the objects that the public client reads, with the metadata of the payment."""
    whole = (await shop.pay(shop.payment(metadata={"wp_order_id": 7, "a": []}))).json()
    transaction_id = whole["payment"]["transactionId"]
    answer = await shop.post(f"/payment/{transaction_id}/credit", {"reason": "Returned", "amount": "5.00"})
    content = answer.json()
    assert (answer.status_code, set(content)) == (201, {"payment", "consumer", "metadata"})
    assert (content["consumer"], content["metadata"]) == (whole["consumer"], whole["metadata"])
    payment = content["payment"]
    same = ("orderId", "currency", "descriptor", "source", "apiPaymentSource")
    assert {name: payment[name] for name in same} == {name: whole["payment"][name] for name in same}
    assert (payment["code"], payment["status"], payment["amount"]) == ("0", "success", 5)
    assert (payment["action"], payment["mode"]) == ("credit", "refund")
    assert payment["parentTransactionId"] == transaction_id
    assert payment["amountUsd"] == 5
    assert payment["transactionId"] != transaction_id
    shown = await shop.get(f"/payment/{payment['transactionId']}")
    assert (shown.status_code, shown.content) == (200, answer.content)
    [row] = await shop.fetch("select kind, status, convert_from(body, 'utf8') as body from event where kind <> 'sale'")
    assert (row["kind"], row["status"]) == ("refund", "success")
    assert row["body"].startswith(answer.text[:-1])


async def test_partial_capture_and_credit_add_up(shop: WebShop) -> None:
    """After a partial capture and a credit of the rest the figures of the portal add up."""
    first = await authorize(shop)
    captured = read(await shop.post(f"/payment/{first}/capture", {"amount": 9.99}))
    assert (captured["action"], captured["mode"], captured["amount"]) == ("charge", "settle", 9.99)
    assert captured["parentTransactionId"] == first
    assert (
        read(await shop.post(f"/payment/{captured['transactionId']}/credit", REASON | {"amount": 0.99}))["amount"]
        == 0.99
    )
    assert read(await shop.post(f"/payment/{first}/credit", REASON))["amount"] == 9
    second = await authorize(shop)
    assert read(await shop.post(f"/payment/{second}/capture", []))["amount"] == 19.99
    assert read(await shop.post(f"/payment/{second}/void", []))["mode"] == "void"
    third = await authorize(shop)
    voided = await shop.post(f"/payment/{third}/void", content=b"", headers={"Content-Type": ""})
    assert (read(voided)["mode"], read(voided)["amount"]) == ("void", 19.99)
    metrics = (await shop.get("/metrics", key="")).text
    for mode, count in (("capture", 2), ("credit", 2), ("void", 2)):
        assert f'tollhouse_payments_total{{code="0",mode="{mode}",status="success"}} {count}.0' in metrics


async def test_verified_card_is_stored_and_can_pay(shop: WebShop) -> None:
    """A verification stores the card, which can then pay, and allows no operation."""
    answer = await shop.pay(shop.payment(sku=shop.sku(price(0))))
    payment = read(answer)
    assert (payment["mode"], payment["amount"], payment["code"]) == ("auth", 0, "0")
    for operation in ("capture", "void", "credit"):
        path = f"/payment/{payment['transactionId']}/{operation}"
        await refused(await shop.post(path, REASON), "transactionId")
    source = {"type": "paymentAccountId", "paymentAccountId": payment["source"]["paymentAccountId"]}
    assert read(await shop.pay(shop.payment(source, consumer={"ip": "203.0.113.45"})))["status"] == "success"


@pytest.mark.parametrize(
    ("name", "operation", "code"),
    [("capture_declined", "capture", "5057"), ("credit_declined", "credit", "5057")],
)
async def test_declined_operation_is_201(shop: WebShop, name: str, operation: str, code: str) -> None:
    """A declined operation is 201 with status fail, code and category, and moves no money."""
    transaction_id = await (authorize if operation == "capture" else pay)(shop, name)
    payment = read(await shop.post(f"/payment/{transaction_id}/{operation}", REASON))
    assert (payment["status"], payment["code"], payment["codeCategory"]) == ("fail", code, 1)
    undone = read(await shop.post(f"/payment/{transaction_id}/void", []))
    assert (undone["status"], undone["amount"]) == ("success", 19.99)


async def test_operation_ends_with_the_emulated_code(shop: WebShop) -> None:
    """In stage any operation ends with the requested code."""
    transaction_id = await pay(shop)
    declined = read(await shop.post(f"/payment/{transaction_id}/credit", REASON | {"emulateCode": "5051"}))
    assert (declined["status"], declined["code"]) == ("fail", "5051")
    await refused(await shop.post(f"/payment/{transaction_id}/credit", REASON | {"emulateCode": "!"}), "emulateCode")


FAULTY: list[tuple[Any, list[str]]] = [
    ({}, ["reason"]),
    ([], ["reason"]),
    ({"reason": "", "amount": "x"}, ["reason", "amount"]),
    ({"reason": "r" * 256, "amount": -1}, ["reason", "amount"]),
    (REASON | {"amount": 0}, ["amount"]),
    (REASON | {"amount": True}, ["amount"]),
    (REASON | {"amount": {}}, ["amount"]),
    (REASON | {"amount": 1.001}, ["amount"]),
    (REASON | {"amount": 20}, ["amount"]),
    (REASON | {"amount": "1e3"}, ["amount"]),
    (REASON | {"amount": 10**20}, ["amount"]),
    ({"reason": f"paid with {number_of('visa')}"}, ["reason"]),
    ({"reason": "4024 0071 7936 6348"}, ["reason"]),
    (REASON | {"amount": ""}, ["amount"]),
    (REASON | {"amount": None}, ["amount"]),
    (REASON | {"amount": []}, ["amount"]),
    (REASON | {"sum": 5}, ["sum"]),
    ({"amount": None, "sum": 5}, ["amount", "sum", "reason"]),
    (REASON | {"amount": 5, "currency": "EUR"}, ["currency"]),
    (REASON | {"currency": "EUR"}, ["currency"]),
]


async def test_faulty_credit_is_named(shop: WebShop) -> None:
    """Every faulty field of a credit is named, and nothing is stored."""
    transaction_id = await pay(shop)
    before = await shop.count_rows()
    for body, paths in FAULTY:
        await refused(await shop.post(f"/payment/{transaction_id}/credit", body), *paths)
    assert await shop.count_rows() == before


#: What would capture or void all, and may have been meant otherwise.
MISTAKEN: list[tuple[str, Any, list[str]]] = [
    ("capture", {"amount": ""}, ["amount"]),
    ("capture", {"amount": None}, ["amount"]),
    ("capture", {"Amount": 5}, ["Amount"]),
    ("capture", {"amount": 5, "currency": "EUR"}, ["currency"]),
    ("void", {"amount": 5}, ["amount"]),
    ("void", {"amount": None}, ["amount"]),
    ("void", {"sum": 5}, ["sum"]),
    ("credit", REASON | {"amount": 5}, ["amount"]),
    ("credit", REASON | {"amount": 19.98}, ["amount"]),
]


async def test_ambiguous_amount_is_rejected(shop: WebShop) -> None:
    """A blank amount, an unknown field without an amount and another currency are rejected; nothing is stored."""
    transaction_id = await authorize(shop)
    before = await shop.count_rows()
    for operation, body, paths in MISTAKEN:
        await refused(await shop.post(f"/payment/{transaction_id}/{operation}", body), *paths)
        await refused(await shop.post(f"/payment/{transaction_id}/{operation}?amount=5", REASON), "amount")
    assert await shop.count_rows() == before
    body = {"amount": 5, "currency": "usd", "note": "ignored beside an amount"}
    assert read(await shop.post(f"/payment/{transaction_id}/capture", body))["amount"] == 5


async def test_credit_without_an_amount_refunds_all(shop: WebShop) -> None:
    """A missing amount is the whole amount, and a reason may have 255 characters."""
    for body in (REASON, REASON | {"currency": ""}, {"reason": "r" * 255, "amount": 19.99, "currency": "USD"}):
        assert read(await shop.post(f"/payment/{await pay(shop)}/credit", body))["amount"] == 19.99


@pytest.mark.parametrize("operation", ["capture", "void", "credit"])
async def test_unknown_transaction_is_404(shop: WebShop, operation: str) -> None:
    """IDs that were never issued and those of other merchants are 404; without a key the response is 401."""
    transaction_id = await pay(shop)
    for path in ("1", "x", "0", str(2**63), "9" * 36, "%20"):
        await refused(await shop.post(f"/payment/{path}/{operation}", REASON), status=404)
    there = f"/payment/{transaction_id}/{operation}"
    await refused(await shop.post(there, REASON, key=shop.other.key), status=404)
    await refused(await shop.post(there, REASON, key=""), status=401)
    await refused(await shop.post(there, REASON, headers={"X-Request-ID": "a b"}), "X-Request-ID")


async def test_impossible_operation_names_the_allowed_ones(shop: WebShop) -> None:
    """An impossible operation is 400 with the allowed ones; one on an open payment is 409 with Retry-After."""
    first, second = await authorize(shop), await authorize(shop, "operation_never_arrives")
    captured = read(await shop.post(f"/payment/{first}/capture", []))["transactionId"]
    await refused(await shop.post(f"/payment/{first}/capture", []), "transactionId")
    credited = read(await shop.post(f"/payment/{first}/credit", REASON | {"amount": 1}))["transactionId"]
    await refused(await shop.post(f"/payment/{captured}/void", []), "transactionId")
    await refused(await shop.post(f"/payment/{credited}/void", []), "transactionId")
    assert read(await shop.post(f"/payment/{second}/capture", []))["status"] == "pending"
    for operation in ("capture", "void", "credit"):
        answer = await shop.post(f"/payment/{second}/{operation}", REASON)
        await refused(answer, status=409)
        assert answer.headers["retry-after"]


async def test_repeated_operation_gets_the_first_response(shop: WebShop) -> None:
    """A repeated operation gets the first bytes again; another body or payment under its ID is 422."""
    first, second = await pay(shop), await pay(shop)
    named = {"X-Request-ID": "credit-1"}
    answer = await shop.post(f"/payment/{first}/credit", REASON | {"amount": 1}, headers=named)
    again = await shop.post(f"/payment/{first}/credit", {"amount": 1} | REASON, headers=named)
    assert (again.status_code, again.content) == (201, answer.content)
    assert again.headers["idempotent-replay"] == "true"
    await refused(await shop.post(f"/payment/{first}/credit", REASON | {"amount": 2}, headers=named), status=422)
    await refused(await shop.post(f"/payment/{second}/credit", REASON | {"amount": 1}, headers=named), status=422)
    assert read(await shop.post(f"/payment/{second}/void", [], headers=named))["mode"] == "void"
    [row] = await shop.fetch("select request_id from event where kind = 'refund'")
    assert row["request_id"] == "credit-1"


async def test_credit_of_an_authorization_is_a_void(shop: WebShop) -> None:
    """A credit of a whole authorization is its void, in the response, the event and at the issuer."""
    transaction_id = await authorize(shop)
    voided = read(await shop.post(f"/payment/{transaction_id}/credit", REASON | {"amount": "19.99"}))
    assert (voided["action"], voided["mode"], voided["status"]) == ("credit", "void", "success")
    assert voided["parentTransactionId"] == transaction_id
    [row] = await shop.fetch("select kind, status from event where kind <> 'auth'")
    assert tuple(row) == ("void", "success")
    assert len(await shop.fetch("select from simulator.journal where voided_at is not null")) == 1
    await refused(await shop.post(f"/payment/{transaction_id}/credit", REASON), "transactionId")


async def test_concurrent_credits_refund_at_most_the_payment(shop: WebShop) -> None:
    """Concurrent credits never refund more than was captured."""
    transaction_id = await pay(shop)
    answers = await asyncio.gather(
        *(shop.post(f"/payment/{transaction_id}/credit", REASON | {"amount": 6}) for _ in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [400] * 3
    [row] = await shop.fetch("select credited_minor from simulator.journal where kind = 'sale'")
    assert row["credited_minor"] == 1800


async def test_void_of_a_challenged_payment_abandons_it(shop: WebShop) -> None:
    """A void of a payment that waits for its cardholder ends it as 1011, without an acquirer call."""
    answer = await shop.pay(shop.payment({"type": "card", "3ds": True} | card("challenge")))
    assert read(answer)["action"] == "redirect"
    path = f"/payment/{read(answer)['transactionId']}/void"
    voided = await shop.post(path, [], headers={"X-Request-ID": "void-1"})
    assert (read(voided)["status"], read(voided)["code"], read(voided)["mode"]) == ("fail", "1011", "sale")
    again = await shop.post(path, [], headers={"X-Request-ID": "void-1"})
    assert (again.content, again.headers["idempotent-replay"]) == (voided.content, "true")
    assert await shop.fetch("select from simulator.journal") == []


async def test_void_of_an_unknown_outcome_reverses_it(shop: WebShop) -> None:
    """A void of a payment with an unknown outcome ends it as 1041 and reverses it at the issuer."""
    answer = await shop.pay(shop.payment({"type": "card"} | card("lost_answer")))
    assert read(answer)["status"] == "pending"
    voided = read(await shop.post(f"/payment/{read(answer)['transactionId']}/void", []))
    assert (voided["status"], voided["code"], voided["mode"]) == ("fail", "1041", "sale")
    assert len(await shop.fetch("select from simulator.journal where reversed_at is not null")) >= 1
