"""The card sources of a payment beyond token and card: stored cards in every form, `mid`, and proofs from elsewhere."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from tests.support.webshop import Merchant, OpenShop, WebShop, card, consumer, expect_rejection, price

CAVV = "AAIBBYNoEwAAACcKhAJkdQAAAAA="
PROOF = {
    "authStatus": "Y",
    "cavv": CAVV,
    "eci": "05",
    "protocolVersion": "2.2.0",
    "directoryServerTransactionId": "C7B2B1A8-3C5A-4B5E-9B5E-2A2F0D2C9A11",
}


async def stored(shop: WebShop, name: str = "visa", **buyer: Any) -> tuple[str, str]:
    """Pay with a published card, and return the stored card's id and its consumer's."""
    source = {"type": "card"} | card(name, cvv="0009" if name == "amex" else "009")
    answer = (await shop.pay(shop.payment(source, consumer=consumer(**buyer)))).json()
    assert answer["payment"]["status"] == "success", answer
    return answer["payment"]["source"]["paymentAccountId"], answer["consumer"]["id"]


async def pay_with(shop: WebShop, source: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Pay with a source as a returning consumer does, and return the answer."""
    answer = await shop.pay(shop.payment(source, **({"consumer": {"ip": "203.0.113.45"}} | changes)))
    assert answer.status_code == 201, answer.text
    content: dict[str, Any] = answer.json()
    return content


# A stored card with its security code


async def test_stored_card_with_a_security_code_pays(shop: WebShop) -> None:
    """A stored card with a security code pays for its owner, has its own type, and keeps no code."""
    account, owner = await stored(shop)
    source = {"type": "paymentAccountIdWithCvv", "paymentAccountId": account, "cvv": "937", "emulateCode": "0000"}
    answer = await pay_with(shop, source)
    assert (answer["payment"]["status"], answer["consumer"]["id"]) == ("success", owner)
    assert answer["payment"]["apiPaymentSource"] == "paymentAccountIdWithCvv"
    assert answer["payment"]["source"]["paymentAccountId"] == account
    assert (await shop.count_rows(["account", "security_code"])) == {"account": 1, "security_code": 0}


async def test_stored_card_with_a_security_code_can_be_challenged(shop: WebShop) -> None:
    """The issuer may require authentication, as with a card; a one-click charge then fails."""
    proved = {"type": "card", "mpiParameters": PROOF} | card("challenge")
    account = (await shop.pay(shop.payment(proved))).json()["payment"]["source"]["paymentAccountId"]
    with_code = {"type": "paymentAccountIdWithCvv", "paymentAccountId": account, "cvv": "009"}
    assert (await pay_with(shop, with_code))["payment"]["action"] == "redirect"
    one_click = {"type": "paymentAccountId", "paymentAccountId": account}
    assert (await pay_with(shop, one_click, metadata={"cart": 2}))["payment"]["code"] == "1012"


@pytest.mark.parametrize("kind", ["paymentAccountId", "paymentAccountIdWithCvv", "consumer", "cc_token"])
async def test_disabled_card_is_declined(shop: WebShop, kind: str) -> None:
    """A payment with a disabled card is declined with every source."""
    account, owner = await stored(shop, id="user-7")
    await shop.execute("update account set disabled = true")
    source = {"type": kind, "paymentAccountId": account, "id": owner, "cvv": "009"}
    answer = await pay_with(shop, source, consumer={"id": "user-7", "ip": "203.0.113.45"})
    assert (answer["payment"]["status"], answer["payment"]["code"]) == ("fail", "1020")


async def test_security_code_has_the_length_of_the_stored_brand(shop: WebShop) -> None:
    """A security code has the number of digits of the brand of the stored card."""
    account, _ = await stored(shop, "amex")
    before = await shop.count_rows()
    source: dict[str, Any] = {"type": "paymentAccountIdWithCvv", "paymentAccountId": account}
    for code, text in (("009", "must have 4 digits"), ("12", "must have 3 or 4 digits"), ("", "is required")):
        source["cvv"] = code
        answer = await shop.pay(shop.payment(source, consumer={"ip": "203.0.113.45"}))
        errors = await expect_rejection(shop, answer, "paymentSource.cvv", stored=before)
        assert errors["paymentSource.cvv"] == [text]
    source["cvv"] = 1234
    assert (await pay_with(shop, source))["payment"]["status"] == "success"


# The card on file of the request's consumer


async def test_cc_token_charges_the_card_of_the_last_payment(shop: WebShop) -> None:
    """`cc_token` charges the card of the consumer's last successful payment, by either ID of the consumer."""
    _, owner = await stored(shop, id="user-7")
    last, _ = await stored(shop, "mastercard", id="user-7")
    for named in ({"id": owner}, {"id": "user-7"}, {"externalId": "user-7"}, {"id": owner, "externalId": "ignored"}):
        source = {"type": "cc_token", "mid": "123", "emulateCode": "0000"}
        answer = await pay_with(shop, source, consumer={"ip": "203.0.113.45"} | named)
        assert answer["payment"]["source"]["paymentAccountId"] == last
        assert (answer["payment"]["apiPaymentSource"], answer["consumer"]["id"]) == ("cc_token", owner)
    assert len(await shop.fetch("select 1 from consumer")) == 1


@pytest.mark.parametrize(
    ("named", "path"),
    [
        ({}, "consumer.id"),
        ({"id": "user-8"}, "consumer.id"),
        ({"id": "c0123456789abcdefghjkmnpq"}, "consumer.id"),
        ({"externalId": "user-8"}, "consumer.externalId"),
        ({"id": "user-7", "externalId": "user-8"}, "consumer.id"),
        ({"id": "user-8", "externalId": "user-7"}, "consumer.id"),
    ],
)
async def test_consumer_without_a_card_is_rejected(shop: WebShop, named: dict[str, str], path: str) -> None:
    """A consumer who never paid, no consumer, and two IDs of different consumers are rejected."""
    await stored(shop, id="user-7")
    before = await shop.count_rows()
    body = shop.payment({"type": "cc_token"}, consumer={"ip": "203.0.113.45"} | named)
    await expect_rejection(shop, await shop.pay(body), path, stored=before)


@pytest.mark.parametrize("kind", ["paymentAccountId", "paymentAccountIdWithCvv", "consumer", "cc_token", "token"])
async def test_card_of_another_merchant_is_rejected(shop: WebShop, other_merchant: Merchant, kind: str) -> None:
    """Only the merchant of a stored card can charge it, whichever ID others know."""
    account, owner = await stored(shop, id="user-7")
    token = (await tokenize_account(shop, account, owner)).json()["token"]
    before = await shop.count_rows()
    source = {"type": kind, "paymentAccountId": account, "id": owner, "cvv": "009"}
    if kind == "token":
        source = {"type": "token", "token": token}
    sku = shop.sku(siteId=str(other_merchant.site_id))
    for named in (owner, "user-7"):
        body = shop.payment(source, sku=sku, consumer={"id": named, "ip": "203.0.113.45"})
        answer = await shop.pay(body, key=other_merchant.key)
        path = {"consumer": "paymentSource.id", "cc_token": "consumer.id", "token": "paymentSource.token"}.get(
            kind, "paymentSource.paymentAccountId"
        )
        await expect_rejection(shop, answer, path, stored=before)


# Tokens of stored cards


async def tokenize_account(shop: WebShop, account: Any, owner: Any, **request: Any) -> Any:
    """Make a token of a stored card as a browser does."""
    headers = {"x-requested-with": "XMLHttpRequest"} | request.pop("headers", {})
    body = {"paymentAccountId": account, "consumerId": owner, "cvv": "937"} | request.pop("changes", {})
    body = {name: value for name, value in body.items() if value is not None}
    key = request.pop("key", "")
    return await shop.post("/tokenizeWithPaymentAccountId", body, headers=headers, key=key, **request)


async def test_token_of_a_stored_card_pays_once(shop: WebShop) -> None:
    """It pays once, as the card's consumer, and leaves neither the code nor a copy of the card."""
    account, owner = await stored(shop)
    made = await tokenize_account(shop, account, owner)
    assert made.status_code == 201
    assert set(made.json()) == {"token", "expireAt"}
    row = (await shop.fetch("select * from token"))[0]
    assert (row["sealed_card"], str(row["account_id"]), row["merchant_id"]) == (None, account, 1)
    assert b"937" not in (await shop.fetch("select sealed from security_code"))[0]["sealed"]
    source = {"type": "token", "value": made.json()["token"]}
    answer = await pay_with(shop, source)
    assert (answer["payment"]["status"], answer["consumer"]["id"]) == ("success", owner)
    assert answer["payment"]["source"]["paymentAccountId"] == account
    assert answer["payment"]["apiPaymentSource"] == "token"
    assert (await shop.count_rows(["account", "security_code"])) == {"account": 1, "security_code": 0}
    before = await shop.count_rows()
    again = await shop.pay(shop.payment(source))
    errors = await expect_rejection(shop, again, "paymentSource.token", stored=before)
    assert errors["paymentSource.token"] == ["is already used; tokenize the card again"]


async def test_stored_card_has_two_spellings(shop: WebShop) -> None:
    """The ID is read under both names and in any case; an API key restricts the token no further."""
    account, owner = await stored(shop)
    other_name = {"paymentAccountId": None, "paymentAccount": account.upper()}
    assert (await tokenize_account(shop, None, owner, changes=other_name)).status_code == 201
    assert (await tokenize_account(shop, account, owner, key=shop.merchant.key)).status_code == 201
    assert (await tokenize_account(shop, account, owner, key="nonsense")).status_code == 201


async def test_unknown_and_foreign_cards_get_equal_responses(shop: WebShop, other_merchant: Merchant) -> None:
    """The response is the same for an unknown card, one of another consumer, and one of another merchant."""
    account, owner = await stored(shop)
    _, stranger = await stored(shop)
    before = await shop.count_rows()
    answers = [
        await tokenize_account(shop, str(uuid4()), owner),
        await tokenize_account(shop, account, stranger),
        await tokenize_account(shop, account, "c0123456789abcdefghjkmnpq"),
        await tokenize_account(shop, account, owner, key=other_merchant.key),
    ]
    for answer in answers:
        await expect_rejection(shop, answer, "paymentAccountId", stored=before)
    assert len({answer.content for answer in answers}) == 1


async def test_every_fault_of_a_token_of_a_stored_card_is_named(shop: WebShop) -> None:
    """Every faulty field is named at once, with the header that no form can send."""
    account, owner = await stored(shop)
    before = await shop.count_rows()
    empty = dict.fromkeys(("paymentAccountId", "consumerId", "cvv"), "")
    everything = ("paymentAccountId", "consumerId", "cvv", "x-requested-with", "X-Request-ID")
    answer = await tokenize_account(
        shop, account, owner, changes=empty, headers={"x-requested-with": "", "X-Request-ID": "a b"}
    )
    await expect_rejection(shop, answer, *everything, stored=before)
    for changes, path in (
        ({"paymentAccountId": "x"}, "paymentAccountId"),
        ({"paymentAccountId": 5}, "paymentAccountId"),
        ({"consumerId": "c123"}, "consumerId"),
        ({"consumerId": "c" * 37}, "consumerId"),
        ({"cvv": "12"}, "cvv"),
        ({"cvv": "0009"}, "cvv"),
        ({"cvv": "12x"}, "cvv"),
    ):
        await expect_rejection(shop, await tokenize_account(shop, account, owner, changes=changes), path, stored=before)
    answer = await tokenize_account(shop, account, owner, headers={"Content-Type": "text/plain"})
    await expect_rejection(shop, answer, status=415, stored=before)


async def test_each_call_creates_a_token_of_a_stored_card(shop: WebShop) -> None:
    """Each call creates a new token; its request ID is returned and not stored."""
    account, owner = await stored(shop)
    headers = {"X-Request-ID": "again"}
    first, again = [await tokenize_account(shop, account, owner, headers=headers) for _ in range(2)]
    assert first.headers["x-request-id"] == again.headers["x-request-id"] == "again"
    assert again.json()["token"] != first.json()["token"]
    assert "idempotent-replay" not in again.headers


async def test_token_of_a_disabled_card_is_declined(shop: WebShop) -> None:
    """A payment with a card that was disabled before or after the creation of its token is declined."""
    account, owner = await stored(shop)
    source = {"type": "token", "token": (await tokenize_account(shop, account, owner)).json()["token"]}
    await shop.execute("update account set disabled = true")
    assert (await pay_with(shop, source))["payment"]["code"] == "1020"
    assert (await tokenize_account(shop, account, owner)).status_code == 201


async def test_token_of_a_stored_card_needs_its_owner(shop: WebShop) -> None:
    """`consumer.id` must be the card's owner, as with every stored card."""
    account, owner = await stored(shop)
    source = {"type": "token", "token": (await tokenize_account(shop, account, owner)).json()["token"]}
    before = await shop.count_rows()
    body = shop.payment(source, consumer=consumer(id="somebody-else"))
    await expect_rejection(shop, await shop.pay(body), "consumer.id", stored=before)


async def test_stored_cards_share_the_limits_of_tokenize(opened: OpenShop) -> None:
    """The limits of `/tokenize` apply here too: by address, shared with it, and by card."""
    shop = await opened(tokenize_by_address=2)
    account, owner = await stored(shop)
    statuses = [(await tokenize_account(shop, account, owner)).status_code for _ in range(2)]
    assert [*statuses, (await shop.tokenize()).status_code] == [201, 201, 429]
    by_card = await opened(tokenize_by_card=1, keys=shop.gateway.vault.keys)
    assert [(await tokenize_account(by_card, account, owner)).status_code for _ in range(2)] == [201, 429]


async def test_a_browser_may_tokenize_a_stored_card(shop: WebShop) -> None:
    """Pages of other origins may call, and can read the faults."""
    headers = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    asked = await shop.client.options("/tokenizeWithPaymentAccountId", headers=headers)
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, "https://shop.example")
    refused = await tokenize_account(shop, str(uuid4()), "c" * 25, headers={"Origin": "https://shop.example"})
    assert refused.headers["access-control-allow-origin"] == "https://shop.example"


# Merchant accounts


async def test_request_may_name_its_acquirer_account(opened: OpenShop) -> None:
    """A request may name its acquirer, a configured account, or in stage any digits; another value is rejected."""
    shop = await opened(mids=("shop-eu",))
    for mid in ("simulated", "shop-eu", "123", 45):
        answer = (await shop.pay(shop.payment({"type": "card", "mid": mid} | card()))).json()
        assert answer["payment"]["status"] == "success", answer
    rows = await shop.fetch("select terms ->> 'mid' as mid from payment order by payment_id")
    assert [row["mid"] for row in rows] == ["simulated", "shop-eu", "123", "45"]
    before = await shop.count_rows()
    unknown: tuple[Any, ...] = ("nobody", "shop-us", "1", "1" * 37, ["123"], True)
    for name in unknown:
        answer = await shop.pay(shop.payment({"type": "card", "mid": name} | card()))
        await expect_rejection(shop, answer, "paymentSource.mid", stored=before)
    live = await opened(environment="live", mids=("shop-eu",))
    answer = await live.pay(live.payment({"type": "card", "mid": "123"} | card()))
    assert "paymentSource.mid" in answer.json()["errors"]


# Proofs from elsewhere


async def test_external_authentication_avoids_the_challenge(shop: WebShop) -> None:
    """A card that would be challenged is charged at once with the proof of the merchant's own 3-D Secure server."""
    for status, eci in (("Y", "05"), ("A", "6"), (None, "05")):
        proof = PROOF | {"authStatus": status, "eci": eci}
        source = {"type": "card", "mpiParameters": proof, "3ds": True} | card("challenge")
        answer = (await shop.pay(shop.payment(source))).json()
        assert (answer["payment"]["status"], answer["payment"]["action"]) == ("success", "charge")
    token = {"type": "token", "token": await shop.token("challenge"), "mpiParameters": PROOF}
    assert (await shop.pay(shop.payment(token))).json()["payment"]["status"] == "success"
    rows = await shop.fetch("select terms -> 'externalAuthentication' as told from payment order by payment_id")
    assert json.loads(rows[0]["told"]) == {"eci": "05", "status": "Y"}
    assert CAVV not in repr([await shop.fetch(f"select * from {table}") for table in ("payment", "attempt")])  # noqa: S608


async def test_external_authentication_without_proof_is_not_repeated(shop: WebShop) -> None:
    """Without a proof no authentication is requested: a requirement of the issuer is a decline."""
    for status in ("U", "I"):
        source = {"type": "card", "mpiParameters": {"authStatus": status}, "3ds": True} | card("challenge")
        assert (await shop.pay(shop.payment(source))).json()["payment"]["code"] == "1012"


async def test_exemption_skips_the_rules_and_not_the_issuer(shop: WebShop) -> None:
    """An exemption skips the rules of site and request; an issuer that does not grant it challenges the cardholder."""
    await shop.execute("update site set three_ds = 'always'")
    for name, action in (("visa", "charge"), ("challenge", "redirect")):
        source = {"type": "card", "mpiParameters": {"scaExemption": "lowValue"}} | card(name)
        assert (await shop.pay(shop.payment(source))).json()["payment"]["action"] == action
    nothing: dict[str, Any] = {"type": "card", "mpiParameters": []} | card()
    assert (await shop.pay(shop.payment(nothing))).json()["payment"]["action"] == "redirect"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"authStatus": "N"}, ["authStatus"]),
        ({"authStatus": "C"}, ["authStatus"]),
        ({"authStatus": "Yes"}, ["authStatus"]),
        ({"authStatus": ["Y"]}, ["authStatus"]),
        ({"authStatus": {}}, ["authStatus"]),
        ({"cavv": "AAAA"}, ["cavv"]),
        ({"cavv": "not base64"}, ["cavv"]),
        ({"cavv": ""}, ["cavv"]),
        ({"eci": "08"}, ["eci"]),
        ({"eci": None}, ["eci"]),
        ({"authStatus": "", "eci": ""}, ["eci"]),
        ({"protocolVersion": "1.0.2"}, ["protocolVersion"]),
        ({"directoryServerTransactionId": "x"}, ["directoryServerTransactionId"]),
        ({"scaExemption": "lowvalue"}, ["scaExemption"]),
        ({"authStatus": "A", "cavv": "", "eci": "", "scaExemption": 5}, ["cavv", "eci", "scaExemption"]),
    ],
)
async def test_faulty_proof_is_named(refusing_shop: WebShop, changes: dict[str, Any], paths: list[str]) -> None:
    """A proof that is malformed, failed or incomplete is rejected by the name of its part."""
    source = {"type": "card", "mpiParameters": PROOF | changes} | card()
    answer = await refusing_shop.pay(refusing_shop.payment(source))
    await expect_rejection(refusing_shop, answer, *(f"paymentSource.mpiParameters.{path}" for path in paths))


# Types that are not cards


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "kind",
    [
        *("payid", "mybank", "applePay", "applepay", "gash", "bancontact", "sofortbanking", "xone", "x1", "ideal"),
        *("onlinebanking", "paysafecard", "eps", "pps", "sepa", "crypto", "przelewytwofour", "przelewy24", "ach"),
        "giropay",
    ],
)
async def test_type_that_is_no_card_is_rejected(refusing_shop: WebShop, kind: str) -> None:
    """Types other than cards are rejected with a list of the supported ones."""
    source = {"type": kind, "iban": "DE11 1111 1111 1111 1111 11", "bic": "", "token": {"data": {}}, "mid": "123"}
    body = refusing_shop.payment(source, sku=refusing_shop.sku(price(5, "EUR")))
    errors = await expect_rejection(refusing_shop, await refusing_shop.pay(body), "paymentSource.type")
    assert errors["paymentSource.type"] == [
        "must be one of card, token, consumer, paymentAccountId, paymentAccountIdWithCvv, cc_token"
    ]


@pytest.mark.parametrize(
    "kind", ["card", "token", "consumer", "paymentAccountId", "paymentAccountIdWithCvv", "cc_token"]
)
async def test_every_source_accepts_emulate_code_and_mid(shop: WebShop, kind: str) -> None:
    """`emulateCode` ends a payment of every source with its code, and `mid` names its acquirer account."""
    account, owner = await stored(shop, id="user-7")
    source = {
        "type": kind,
        **(card() if kind == "card" else {"cvv": "009"}),
        "token": await shop.token(),
        "id": owner,
        "paymentAccountId": account,
        "mpiParameters": {"scaExemption": "tra"},
        "emulateCode": "5051",
        "mid": "123",
    }
    buyer = consumer(id="user-7")
    before = await shop.count_rows()
    answer = await shop.pay(shop.payment(source | {"mid": "nobody"}, consumer=buyer))
    await expect_rejection(shop, answer, "paymentSource.mid", stored=before)
    told = await pay_with(shop, source, consumer=buyer)
    assert (told["payment"]["status"], told["payment"]["code"]) == ("fail", "5051")
    assert (told["payment"]["apiPaymentSource"], told["consumer"]["id"]) == (kind, owner)
    terms = (
        await shop.fetch(
            "select terms ->> 'mid' as mid, terms ->> 'emulateCode' as code from payment order by payment_id desc"
        )
    )[0]
    assert tuple(terms) == ("123", "5051")


@pytest.mark.parametrize(
    ("at_request", "at_sku", "told"),
    [
        (None, None, ("site", "site")),
        ({}, {}, ("site", "site")),
        ([], [], ("site", "site")),
        ({"ipnUrl": "http://127.0.0.1:9/mine"}, None, ("mine", "site")),
        ({"redirectUrl": "http://127.0.0.1:9/mine"}, None, ("site", "mine")),
        (None, {"ipnUrl": "http://127.0.0.1:9/sku"}, ("sku", "site")),
        ({"redirectUrl": "http://127.0.0.1:9/mine"}, {"ipnUrl": "http://127.0.0.1:9/sku"}, ("sku", "mine")),
        ({"ipnUrl": "http://127.0.0.1:9/mine"}, {"ipnUrl": "http://127.0.0.1:9/sku"}, ("mine", "site")),
    ],
)
async def test_each_url_is_resolved_separately(shop: WebShop, at_request: Any, at_sku: Any, told: Any) -> None:
    """Each of the two URLs is the request's own, else the SKU's, else the site's."""
    site = {"ipnUrl": "http://127.0.0.1:9/site", "redirectUrl": "http://127.0.0.1:9/site"}
    assert (await shop.put(f"/site/{shop.merchant.site_id}", site)).status_code == 200
    sku = shop.sku() if at_sku is None else shop.sku() | {"url": at_sku}
    body = {name: value for name, value in shop.payment(sku=sku).items() if name != "url"}
    answer = await shop.pay(body if at_request is None else body | {"url": at_request})
    assert answer.status_code == 201, answer.text
    [row] = await shop.fetch("select ipn_url, redirect_url from payment order by created_at desc limit 1")
    assert tuple(url.rpartition("/")[2] for url in row) == told
