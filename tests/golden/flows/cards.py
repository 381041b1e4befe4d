"""Tokens and payments by card: every source, every kind of fault, repeats and double clicks."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.golden.flow import Flow, plain_card
from tests.support.issuing import number_of
from tests.support.webshop import XML_HTTP_REQUEST, price

PROOF = {
    "authStatus": "Y",
    "cavv": "AAIBBYNoEwAAACcKhAJkdQAAAAA=",
    "eci": "05",
    "protocolVersion": "2.2.0",
    "directoryServerTransactionId": "C7B2B1A8-3C5A-4B5E-9B5E-2A2F0D2C9A11",
}


async def tokens(flow: Flow) -> None:
    """Make tokens from a browser and from a server, with every fault of a card."""
    shop = flow.shop
    await shop.tokenize(plain_card())
    await shop.tokenize(plain_card("amex", cvv="0009", zip=""))
    await shop.tokenize(plain_card(), key=shop.merchant.key)
    await shop.post("/tokenize", plain_card(), key="")
    for changes in (
        {"number": "4024007179366340"},
        {"number": ""},
        {"number": None, "cvv": None, "expirationMonth": None, "expirationYear": None},
        {"expirationMonth": "13", "cvv": "12a", "cardHolder": "x" * 300},
        {"number": "1234", "expirationYear": "x", "zip": {"a": 1}},
        {"cvv": "1234"},
        {"cardHolder": f"Jane {number_of('mastercard')}"},
        {"expirationMonth": "01", "expirationYear": "20"},
    ):
        await shop.tokenize(plain_card(**changes))
    await shop.tokenize([1])
    await shop.post("/tokenize", content=b"{", key="", headers=XML_HTTP_REQUEST)
    await flow.tell_rows()


async def token_payments(flow: Flow) -> None:
    """Pay with tokens: once, twice, another merchant's, an unknown one, one of a stored card."""
    shop = flow.shop
    token = (await shop.tokenize(plain_card())).json()["token"]
    paid = await flow.pay({"type": "token", "token": token})
    await flow.pay({"type": "token", "token": token}, metadata={"cart": 2})
    theirs = (await shop.tokenize(plain_card(), key=shop.other.key)).json()["token"]
    await flow.pay({"type": "token", "token": theirs})
    await flow.pay({"type": "token", "value": "00000000-0000-4000-8000-000000000000"})
    await flow.pay({"type": "token", "token": ""})
    account = paid["payment"]["source"]["paymentAccountId"]
    path = "/tokenizeWithPaymentAccountId"
    made = await shop.post(path, {"paymentAccountId": account, "cvv": "009"}, headers=XML_HTTP_REQUEST)
    await shop.post(path, {"paymentAccountId": "x", "cvv": "1"}, headers=XML_HTTP_REQUEST)
    await shop.post(path, {"paymentAccountId": account}, headers=XML_HTTP_REQUEST)
    await flow.pay({"type": "token", "token": made.json().get("token", "")}, metadata={"cart": 3})
    await flow.tell_callbacks()
    await flow.tell_rows()


async def outcomes(flow: Flow) -> None:
    """Pay with cards that are approved and declined, by brands, currencies, sums and codes; read them in all ways."""
    for name in ("visa", "mastercard", "discover", "decline_05", "decline_51", "decline_14", "decline_r1", "advice_03"):
        await flow.pay(name, consumer=flow.buyer(name))
    await flow.pay({"type": "card"} | plain_card("amex", cvv="0009"), consumer=flow.buyer("amex"))
    for amount, currency in ((5, "EUR"), ("12.50", "GBP"), (1500, "JPY"), (1.234, "KWD"), (0, "USD")):
        sku = flow.shop.sku(price(amount, currency))
        await flow.pay(sku=sku, consumer=flow.buyer(f"in-{currency}"), metadata={"order": [1, None, "ä"]})
    await flow.pay(sku={"name": "ONE_TIME"}, consumer=flow.buyer("catalog", externalId="ext-1", phone="+15005550006"))
    paid = await flow.pay(
        headers={"X-Request-ID": "named"},
        consumer=flow.buyer("full", city="Paris", zip="75001", address="1 rue X", language="fr"),
    )
    transaction_id = paid["payment"]["transactionId"]
    for path in (f"/payment/{transaction_id}", f"/payment/{transaction_id}/timeline", "/payment/1", "/payment/x"):
        await flow.shop.get(path)
    await flow.shop.get(f"/payment/{transaction_id}", key=flow.shop.other.key)
    await flow.shop.get(f"/payment/{transaction_id}", key="wrong")
    await flow.tell_callbacks()
    await flow.shop.get(f"/payment/{transaction_id}/timeline")
    await flow.shop.get("/feed/transactions?limit=100")
    await flow.tell_rows()


FAULTS: tuple[Any, ...] = (
    {},
    [],
    {"paymentSource": {}, "sku": {}, "consumer": {}, "url": {}},
    {"paymentSource": {"type": "cash"}},
    {"paymentSource": {"type": "sepa"}},
    {"paymentSource": {"type": "applePay"}},
    {"paymentSource": {"type": "card", "number": "4111", "cvv": "x"}},
    {"paymentSource": {"type": "paymentAccountId", "paymentAccountId": "x"}},
    {"paymentSource": {"type": "consumer", "value": "nobody"}},
    {"sku": {"name": "GOLD"}},
    {"sku": {"title": "", "siteId": "1", "price": []}},
    {"sku": {"title": "A", "siteId": "983759353", "price": [{"amount": -1, "currency": "XXX", "offset": "1x"}]}},
    {"sku": {"title": "A", "siteId": "983759354", "price": [{"amount": 1, "currency": "USD", "offset": "0d"}]}},
    {"consumer": {"id": "x" * 300, "email": "no", "ip": "300.1.1.1", "country": "Narnia"}},
    {"consumer": None},
    {"url": {"ipnUrl": "ftp://x", "redirectUrl": "javascript:alert(1)"}},
    {"metadata": {"a": "x" * 20_000}},
    {"metadata": "text"},
    {"emailOptions": {"sendReceipt": "perhaps"}, "mid": "x" * 100},
    {"paymentSource": {"type": "cash"}, "sku": {"name": "GOLD"}, "consumer": {"ip": "x"}, "url": {"ipnUrl": "x"}},
)


async def faults(flow: Flow) -> None:
    """Send payments with each kind of fault alone, and with several at once; nothing is stored."""
    for fault in FAULTS:
        await flow.shop.pay(flow.body() | fault if isinstance(fault, dict) and fault else fault)
    for content in (
        b"",
        b"{",
        b"\xff",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b"[" * 2_000,
        b"null",
        b"{}" + b" " * 2_000_000,
    ):
        await flow.shop.pay(content=content)
    body = flow.body()
    for headers in (
        {"Content-Type": "text/plain"},
        {"Content-Type": ""},
        {"X-Request-ID": "x" * 300},
        {"X-Request-ID": "with space"},
        {"Content-Encoding": "gzip"},
    ):
        await flow.shop.pay(body | {"paymentSource": {"type": "cash"}}, headers=headers)
    for key in ("", "wrong", flow.shop.other.key):
        await flow.shop.pay(body, key=key)
    await flow.tell_rows()


async def sources(flow: Flow) -> None:
    """Pay with stored cards in every form, as a merchant of its own accord, and with a proof from elsewhere."""
    shop = flow.shop
    first = await flow.pay()
    account, owner = first["payment"]["source"]["paymentAccountId"], first["consumer"]["id"]
    later = {"ip": "203.0.113.45"}
    for number, source in enumerate(
        (
            {"type": "paymentAccountId", "paymentAccountId": account},
            {"type": "paymentAccountId", "value": account, "initiator": "merchant"},
            {"type": "paymentAccountIdWithCvv", "paymentAccountId": account, "cvv": "937", "emulateCode": "0000"},
            {"type": "paymentAccountIdWithCvv", "paymentAccountId": account, "cvv": "1"},
            {"type": "consumer", "value": owner},
            {"type": "cc_token", "mid": "123"},
            {"type": "card", "emulateCode": "5051"} | plain_card(),
            {"type": "card", "mpiParameters": PROOF} | plain_card("challenge"),
            {"type": "card", "mpiParameters": PROOF | {"cavv": "x", "eci": "99"}} | plain_card(),
        )
    ):
        named = {"consumer": later | ({"id": owner} if source["type"] == "cc_token" else {})}
        named |= {"consumer": flow.buyer()} if source["type"] == "card" else {}
        await flow.pay(source, metadata={"cart": number}, **named)
    await shop.get(f"/consumer/{owner}/paymentAccounts")
    await shop.post(f"/paymentAccount/{account}/disable", [])
    await flow.pay({"type": "paymentAccountId", "paymentAccountId": account}, consumer=later)
    await shop.post(f"/paymentAccount/{account}/enable", [])
    await shop.post("/paymentAccount/x/enable", [])
    await shop.post(f"/paymentAccount/{account}/disable", [], key=shop.other.key)
    await flow.tell_callbacks()
    await flow.tell_rows()


async def repeats(flow: Flow) -> None:
    """Repeat requests by their id: the same body, another one, a faulty one, and while the first is under way."""
    body, named = flow.body(metadata={"b": 1.5, "a": [True, None]}), {"X-Request-ID": "order-4711"}
    for sent in (body, body, body | {"metadata": {}}, {}):
        await flow.shop.pay(sent, headers=named)
    declined = flow.body("decline_51", consumer=flow.buyer("declined"))
    for _ in range(2):
        await flow.shop.pay(declined, headers={"X-Request-ID": "declined"})
    await flow.shop.pay(flow.body() | {"sku": {}}, headers={"X-Request-ID": "faulty"})
    await flow.shop.pay(flow.body(consumer=flow.buyer("mended")), headers={"X-Request-ID": "faulty"})
    theirs = flow.body(sku=flow.shop.sku(siteId=str(flow.shop.other.site_id)))
    await flow.shop.pay(theirs, headers=named, key=flow.shop.other.key)
    flow.tape.is_on = False
    at_once = flow.body(consumer=flow.buyer("hasty"))
    answers = await asyncio.gather(*(flow.shop.pay(at_once, headers={"X-Request-ID": "hasty"}) for _ in range(4)))
    flow.tape.is_on = True
    told = sorted({(each.status_code, flow.names.replace(each.text)) for each in answers})
    flow.entries.append({"at once": [list(one) for one in told]})
    await flow.tell_callbacks()
    await flow.tell_rows()


async def double_clicks(flow: Flow) -> None:
    """Send one payment twice without an id, with the same and with other details, after the other and at once."""
    for sent in (flow.body(), flow.body(), flow.body(metadata={"cart": 2}), flow.body("mastercard")):
        await flow.shop.pay(sent)
    for _ in range(2):
        await flow.shop.pay(flow.body("decline_05", consumer=flow.buyer("declined")))
    flow.tape.is_on = False
    body = flow.body(consumer=flow.buyer("hasty"))
    answers = await asyncio.gather(*(flow.shop.pay(body) for _ in range(4)))
    flow.tape.is_on = True
    told = sorted({(each.status_code, flow.names.replace(each.text)) for each in answers})
    flow.entries.append({"at once": [list(one) for one in told]})
    await flow.advance("PT2H")
    await flow.shop.pay(flow.body())
    await flow.tell_callbacks()
    await flow.tell_rows()


async def receipts(flow: Flow) -> None:
    """Ask for emails to the consumer in several languages, and for none."""
    for number, options in enumerate(
        (
            {"sendReceipt": True},
            {"sendReceipt": True, "language": "de"},
            {"sendReceipt": "true", "language": "xx"},
            [],
            {"sendReceipt": False},
            {"sendReceipt": 7},
        )
    ):
        await flow.pay(emailOptions=options, metadata={"cart": number}, consumer=flow.buyer(f"reads-{number}"))
    await flow.tell_callbacks()
    await flow.tell_rows()


async def limited(flow: Flow) -> None:
    """Pay more often than a shopper's limits allow: blocks are responses like declines."""
    for number in range(4):
        await flow.pay(metadata={"cart": number})
    for number in range(4):
        await flow.pay("decline_51", metadata={"cart": number}, consumer=flow.buyer("unlucky", ip="203.0.113.99"))
    await flow.tell_callbacks()
    await flow.tell_rows()
