"""`POST /payment` and `GET /payment/{transactionId}`: what they answer, key by key."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from tests.support.webshop import WebShop, card, consumer, price

#: The body of the quickstart's step A2, but for the source and the consumer's address.
SEED_BODY: dict[str, Any] = {
    "sku": {
        "title": "Premium Monthly",
        "siteId": "983759353",
        "price": [{"offset": "0d", "amount": 19.99, "currency": "USD", "repeat": False}],
    },
    "consumer": {
        "id": "user-00123",
        "email": "jane@shop.example",
        "firstName": "Jane",
        "lastName": "Smith",
        "country": "USA",
        "ip": "203.0.113.45",
    },
    "url": {
        "ipnUrl": "https://your-server.example.com/webhooks/payments",
        "redirectUrl": "https://your-server.example.com/payment/success",
    },
}

PAYMENT_KEYS = {
    "code",
    "description",
    "action",
    "mode",
    "status",
    "amount",
    "currency",
    "amountUsd",
    "orderId",
    "transactionId",
    "descriptor",
    "apiPaymentSource",
    "source",
    "timestamp",
}
SOURCE = {
    "method": "card",
    "number": "402400****6348",
    "brand": "visa",
    "expirationMonth": 12,
    "expirationYear": 25,
    "disabled": False,
}


def check_answer(answer: dict[str, Any]) -> None:
    """Check the types of an answer that clients read, whatever it says."""
    assert set(answer) <= {"payment", "consumer", "subscription", "metadata"}
    payment, source = answer["payment"], answer["payment"]["source"]
    for name in ("code", "orderId", "transactionId"):
        assert isinstance(payment[name], str)
        assert payment[name].isdigit()
    assert isinstance(payment["description"], str)
    assert type(payment["amount"]) in {int, float}
    assert set(source) == {*SOURCE, "paymentAccountId"}
    assert str(UUID(source["paymentAccountId"])) == source["paymentAccountId"]
    assert (type(source["expirationMonth"]), type(source["expirationYear"])) == (int, int)
    assert source["disabled"] is False
    timestamp = payment["timestamp"]
    assert set(timestamp) == {"dateTime", "timezone", "unixTime"}
    moment = datetime.fromisoformat(timestamp["dateTime"] + timestamp["timezone"])
    assert timestamp["unixTime"] == int(moment.timestamp())
    assert 5 <= len(answer["consumer"]["id"]) <= 36
    assert answer["consumer"]["blocked"] is False
    assert "metadata" in answer


async def test_card_payment_has_the_documented_response(shop: WebShop) -> None:
    """The response to flow B of the quickstart has the quickstart's keys and values, and those of the public API."""
    source = {"type": "card"} | card(zip=None)
    response = await shop.pay(SEED_BODY | {"paymentSource": source})
    answer = response.json()
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    check_answer(answer)
    assert set(answer["payment"]) == PAYMENT_KEYS
    payment = answer["payment"]
    assert {name: payment[name] for name in ("code", "description", "action", "mode", "status")} == {
        "code": "0",
        "description": "APPROVED",
        "action": "charge",
        "mode": "sale",
        "status": "success",
    }
    assert (payment["amount"], payment["currency"], payment["amountUsd"]) == (19.99, "USD", 19.99)
    assert payment["apiPaymentSource"] == "card"
    assert payment["descriptor"] == "SHOP 1"
    assert payment["source"] == SOURCE | {"paymentAccountId": payment["source"]["paymentAccountId"]}
    assert answer["consumer"] == {
        "id": answer["consumer"]["id"],
        "externalId": "user-00123",
        "email": "jane@shop.example",
        "firstName": "Jane",
        "lastName": "Smith",
        "country": "USA",
        "blocked": False,
    }
    assert answer["metadata"] == {}
    assert "subscription" not in answer


async def test_token_payment_has_the_response_of_a_card_payment(shop: WebShop) -> None:
    """Flow A of the quickstart has the same response as flow B, and requires no names."""
    body = SEED_BODY | {"paymentSource": {"type": "token", "token": await shop.token()}}
    body["consumer"] = {name: value for name, value in SEED_BODY["consumer"].items() if "Name" not in name}
    response = await shop.pay(body)
    assert response.status_code == 201
    check_answer(response.json())
    assert set(response.json()["payment"]) == PAYMENT_KEYS
    assert response.json()["payment"]["apiPaymentSource"] == "token"
    assert response.json()["payment"]["source"]["number"] == "402400****6348"


async def test_stored_card_pays_by_its_id_and_by_its_consumer(shop: WebShop) -> None:
    """The stored card pays again by its own ID and by its consumer's, without a number."""
    first = (await shop.pay(SEED_BODY | {"paymentSource": {"type": "card"} | card()})).json()
    account_id, consumer_id = first["payment"]["source"]["paymentAccountId"], first["consumer"]["id"]
    later = {"sku": {"name": "PREMIUM_MONTHLY"}, "url": SEED_BODY["url"]}
    for source in (
        {"type": "paymentAccountId", "paymentAccountId": account_id},
        {"type": "consumer", "id": consumer_id},
    ):
        body = later | {"paymentSource": source, "consumer": {"id": consumer_id, "ip": "203.0.113.45"}}
        response = await shop.pay(body)
        answer = response.json()
        assert response.status_code == 201
        check_answer(answer)
        assert answer["payment"]["status"] == "success"
        assert answer["payment"]["apiPaymentSource"] == source["type"]
        assert answer["payment"]["source"]["paymentAccountId"] == account_id
        assert answer["payment"]["orderId"] != first["payment"]["orderId"]
        assert answer["consumer"]["id"] == consumer_id
        assert answer["consumer"]["externalId"] == "user-00123"
        assert answer["consumer"]["email"] == "jane@shop.example"
    assert (await shop.count_rows(["account", "consumer"])) == {"account": 1, "consumer": 1}


async def test_stored_card_of_another_consumer_is_rejected(shop: WebShop) -> None:
    """With a stored card the consumer is its owner: any other consumer's ID, of either kind, is a fault."""
    first, second = [(await shop.pay()).json() for _ in range(2)]
    source = {"type": "paymentAccountId", "paymentAccountId": first["payment"]["source"]["paymentAccountId"]}
    for wrong in (second["consumer"]["id"], second["consumer"]["externalId"], "user-nobody"):
        answer = await shop.pay(shop.payment(source, consumer=consumer(id=wrong)))
        assert answer.status_code == 400
        assert set(answer.json()["errors"]) == {"consumer.id"}
    for right in (first["consumer"]["id"], first["consumer"]["externalId"], None):
        assert (await shop.pay(shop.payment(source, consumer=consumer(id=right)))).status_code == 201


async def test_external_id_finds_the_same_consumer(shop: WebShop) -> None:
    """A merchant's own ID in either field finds the same consumer; without one each payment has a new consumer."""
    first = (await shop.pay(shop.payment(consumer=consumer(id="user-1")))).json()["consumer"]
    for sent in ({"id": "user-1"}, {"id": None, "externalId": "user-1"}, {"id": first["id"]}):
        again = (await shop.pay(shop.payment(consumer=consumer(**sent)))).json()["consumer"]
        assert (again["id"], again["externalId"]) == (first["id"], "user-1")
    nobody = [(await shop.pay(shop.payment(consumer=consumer(id=None)))).json()["consumer"] for _ in range(2)]
    assert len({first["id"], nobody[0]["id"], nobody[1]["id"]}) == 3
    assert "externalId" not in nobody[0]


async def test_same_card_of_a_consumer_is_stored_once(shop: WebShop) -> None:
    """The same card of the same consumer is one stored card, and a declined new card is not stored."""
    same = consumer(id="user-1")
    accounts = [
        (await shop.pay(shop.payment({"type": "card"} | card(**changes), consumer=same))).json()["payment"]["source"]
        for changes in ({}, {"expirationYear": "31"})
    ]
    assert accounts[0]["paymentAccountId"] == accounts[1]["paymentAccountId"]
    assert accounts[1]["expirationYear"] == 31
    await shop.pay(shop.payment({"type": "card"} | card("decline_05"), consumer=same))
    assert (await shop.count_rows(["account"])) == {"account": 1}


async def test_decline_is_201_with_its_reason(shop: WebShop) -> None:
    """A decline is a response of 201 with the reason and the scheme's category, and begins no subscription."""
    body = shop.payment({"type": "card"} | card("decline_51"), sku={"name": "PREMIUM_MONTHLY"})
    response = await shop.pay(body)
    payment = response.json()["payment"]
    assert response.status_code == 201
    check_answer(response.json())
    assert set(payment) == PAYMENT_KEYS | {"codeCategory"}
    assert (payment["status"], payment["action"], payment["code"]) == ("fail", "charge", "5051")
    assert payment["codeCategory"] in {1, 2, 3, 4}
    assert payment["description"] != "APPROVED"
    assert "subscription" not in response.json()
    assert (await shop.count_rows(["account"])) == {"account": 0}


async def test_repeating_price_begins_a_subscription(shop: WebShop) -> None:
    """An approved schedule with later charges begins a subscription, from a SKU or from the request."""
    schedule = [price(1), price(29.99, offset="30d", repeat=True)]
    for sku in ({"name": "PREMIUM_MONTHLY"}, shop.sku(*schedule)):
        answer = (await shop.pay(shop.payment(sku=sku))).json()
        check_answer(answer)
        subscription = answer["subscription"]
        renewal = datetime.fromisoformat(subscription["renewalDate"])
        paid = datetime.fromisoformat(answer["payment"]["timestamp"]["dateTime"])
        assert renewal - paid == timedelta(days=30)
        assert (subscription["status"], subscription["cycle"]) == ("active", 0)
        assert subscription["id"].isdigit()
        assert subscription["siteId"] == "983759353"
        assert subscription.get("skuName") == sku.get("name")
        assert subscription["consumerId"] == answer["consumer"]["id"]
    assert (await shop.count_rows(["subscription"])) == {"subscription": 2}


async def test_amount_due_now_decides_the_mode(shop: WebShop) -> None:
    """An amount above zero is a sale, a later single price an authorization, and zero a verification."""
    for prices, mode, amount, subscription in (
        ([price(5), price(1.5), price(9, offset="7d")], "sale", 6.5, "active"),
        ([price(5, offset="3d")], "auth", 5, None),
        ([price(0)], "auth", 0, None),
        ([price(0), price(9.99, offset="14d", repeat=True)], "auth", 0, "trial"),
        ([price(9.99, offset="14d", repeat=True)], "auth", 0, "trial"),
    ):
        answer = (await shop.pay(shop.payment(sku=shop.sku(*prices)))).json()
        assert (answer["payment"]["mode"], answer["payment"]["amount"]) == (mode, amount), prices
        assert answer["payment"]["status"] == "success"
        if mode == "sale" or subscription:
            assert answer["subscription"]["status"] == subscription


async def test_amounts_are_exact(shop: WebShop) -> None:
    """Amounts are exact, with the decimals of the currency, and are returned without trailing zeros."""
    for sent, currency, written in (
        ("10", "USD", "10"),
        ("10.0", "USD", "10"),
        ("9.90", "USD", "9.9"),
        ('"9.90"', "USD", "9.9"),
        ("1e1", "EUR", "10"),
        ("0.01", "USD", "0.01"),
        ("1000.0", "JPY", "1000"),
        ("1000", "JPY", "1000"),
        ("1.234", "KWD", "1.234"),
        ("9999999999.99", "USD", "9999999999.99"),
        ("16777217.07", "EUR", "16777217.07"),
    ):
        body = json.dumps(shop.payment(sku=shop.sku(price("AMOUNT", currency)))).replace('"AMOUNT"', sent)
        answer = await shop.pay(content=body)
        assert answer.status_code == 201, (sent, answer.text)
        assert f'"amount":{written},"currency":"{currency}"' in answer.text
        payment = json.loads(answer.text, parse_float=Decimal)["payment"]
        assert ("amountUsd" in payment) == (currency != "KWD")


async def test_metadata_is_returned_unchanged(shop: WebShop) -> None:
    """Metadata is returned with its types, numbers and order as sent; without any it is `{}`."""
    for metadata in (
        '{"wp_order_id":123,"version":"2.2.5","trial":0,"invoice_external_id":"","paid":true,"note":null}',
        '{"z":1.50,"a":-0.1,"big":123456789012345678901234567890,"zero":0.0}',
        '{"text":"ä € \U0001f4b3 \\" \\\\ /","":"","nested":{"list":[1,[2,{}],[]]}}',
        '["a",1,{"b":null}]',
        "[0]",
    ):
        body = json.dumps(shop.payment(metadata="METADATA")).replace('"METADATA"', metadata)
        answer = await shop.pay(content=body.encode())
        assert answer.text.endswith(f'"metadata":{metadata}}}'), answer.text
        looked_up = await shop.get(f"/payment/{answer.json()['payment']['transactionId']}")
        assert looked_up.content == answer.content
    nothing: tuple[Any, ...] = ({}, [], "", None)
    for empty in nothing:
        assert (await shop.pay(shop.payment() | {"metadata": empty})).json()["metadata"] == {}


async def test_phone_of_a_consumer_is_returned_as_typed(shop: WebShop) -> None:
    """`consumer.phone` is a text in any form, and is not verified."""
    for phone in ("212 555-1234", "(500) 555-0006", "+49 1512 3456789", "0049-1512/3456789 ext. 7", "none"):
        answer = await shop.pay(shop.payment(consumer=consumer(phone=phone)))
        assert answer.status_code == 201
        assert answer.json()["consumer"]["phone"] == phone


async def test_final_payment_is_read_as_it_was_returned(shop: WebShop) -> None:
    """A final payment is read with the bytes of its first response."""
    for body in (
        shop.payment(),
        shop.payment({"type": "card"} | card("decline_05"), metadata={"a": 1}),
        shop.payment(sku={"name": "PREMIUM_MONTHLY"}),
        shop.payment(
            consumer=consumer(externalId="e-1", phone="(500) 555-0006", userAgent="x", browserColorDepth="24")
        ),
    ):
        answer = await shop.pay(body)
        looked_up = await shop.get(f"/payment/{answer.json()['payment']['transactionId']}")
        assert looked_up.status_code == 200
        assert looked_up.content == answer.content


async def test_challenge_returns_a_redirect(shop: WebShop) -> None:
    """A payment that waits for its cardholder has the action `redirect` and a URL, and its `code` is not final."""
    answer = await shop.pay(shop.payment({"type": "card", "3ds": True} | card("challenge")))
    payment = answer.json()["payment"]
    assert answer.status_code == 201
    check_answer(answer.json())
    assert set(payment) == PAYMENT_KEYS | {"url"}
    assert (payment["status"], payment["action"], payment["code"]) == ("pending", "redirect", "0")
    assert payment["url"].startswith(shop.gateway.settings.public_url)
    assert "url" not in answer.json()
    looked_up = (await shop.get(f"/payment/{payment['transactionId']}")).json()["payment"]
    assert (looked_up["status"], looked_up["code"], looked_up["orderId"]) == ("pending", "0", payment["orderId"])


async def test_unknown_payment_is_404(shop: WebShop) -> None:
    """An ID that was never issued is 404, in any form."""
    await shop.pay()
    for path in ("1", "abc", "-1", "1.5", "0", "9" * 19, "9" * 30, "٣", "%00", "a%2Fb", "' or 1=1", "x" * 3000):
        answer = await shop.get(f"/payment/{path}")
        assert answer.status_code == 404, path
        assert set(answer.json()) == {"message", "errors"}


async def test_other_methods_are_405(shop: WebShop) -> None:
    """OPTIONS returns the methods of a path, and any other method is 405 with them."""
    for path, methods in (
        ("/payment", {"POST", "OPTIONS"}),
        ("/payment/1", {"GET", "HEAD", "OPTIONS"}),
        ("/tokenize", {"POST", "OPTIONS"}),
        ("/healthz", {"GET", "HEAD", "OPTIONS"}),
    ):
        for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE"} - methods:
            answer = await shop.client.request(method, path)
            assert answer.status_code == 405, (method, path)
            assert set(answer.headers["allow"].split(", ")) == methods
            assert method == "HEAD" or answer.json() == {
                "message": "This path does not have that method. See the Allow header.",
                "errors": {},
            }
        if path != "/tokenize":  # where OPTIONS is a preflight
            answer = await shop.client.request("OPTIONS", path)
            assert (answer.status_code, answer.content) == (204, b"")
            assert set(answer.headers["allow"].split(", ")) == methods
    assert not any((await shop.count_rows()).values())


async def read_sent(shop: WebShop, method: str, path: str) -> bytes:
    """Return the body that the application sends, which a client would not show where none belongs."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
    headers = [(b"authorization", shop.merchant.key.encode())]
    await shop.web(scope | {"headers": headers, "client": ("127.0.0.1", 1), "scheme": "http"}, receive, send)
    return b"".join(message.get("body", b"") for message in sent)


async def test_head_has_the_headers_of_get(shop: WebShop) -> None:
    """HEAD returns the headers of GET, with the length of the body and without the body."""
    paid = (await shop.pay()).json()["payment"]["transactionId"]
    for path, status in ((f"/payment/{paid}", 200), ("/payment/1", 404), ("/openapi.json", 200), ("/docs", 200)):
        headers = {"Authorization": shop.merchant.key}
        whole, head = [await shop.client.request(method, path, headers=headers) for method in ("GET", "HEAD")]
        assert (head.status_code, head.content) == (status, b"")
        assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))
        assert head.headers["content-type"] == whole.headers["content-type"]
        assert await read_sent(shop, "HEAD", path) == b""
        assert await read_sent(shop, "GET", path) != b""
    assert (await shop.client.head(f"/payment/{paid}")).status_code == 401


async def test_unknown_paths_are_404(shop: WebShop) -> None:
    """An unknown path is 404, in the form of all rejections."""
    for path in ("/payments", "/Payment", "/payment/1/2", "/v1/payment", "/.git/config", "/payment%2F1x"):
        answer = await shop.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["errors"] == {}
        assert isinstance(answer.json()["message"], str)


async def test_trailing_slash_changes_nothing(shop: WebShop) -> None:
    """A trailing slash changes nothing and does not redirect, because clients would turn a POST into a GET."""
    answer = await shop.post("/payment/", shop.payment())
    assert answer.status_code == 201
    assert (await shop.get(f"/payment/{answer.json()['payment']['transactionId']}/")).content == answer.content
    headers = {"x-requested-with": "XMLHttpRequest", "Origin": "https://shop.example"}
    tokenized = await shop.post("/tokenize/", card(), key="", headers=headers)
    assert tokenized.status_code == 201
    assert tokenized.headers["access-control-allow-origin"] == "https://shop.example"
