"""`POST /tokenize`: a card becomes a token, for whoever asks, and nothing is learned from asking."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.support.issuing import number_of
from tests.support.webshop import XML_HTTP_REQUEST, OpenShop, WebShop, add_key, card, expect_rejection, open_client

SEED_CARD = {
    "number": "4024007179366348",
    "expirationYear": "25",
    "expirationMonth": "12",
    "cvv": "009",
    "cardHolder": "Jane Smith",
    "zip": "10001",
}


async def test_expired_card_gets_a_token_for_fifteen_minutes(shop: WebShop) -> None:
    """The expired card of the quickstart gets a token that is valid for fifteen minutes."""
    answer = await shop.tokenize(SEED_CARD)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"token", "expireAt"}
    assert str(UUID(answer.json()["token"])) == answer.json()["token"]
    assert type(answer.json()["expireAt"]) is int
    assert 890 <= answer.json()["expireAt"] - time.time() <= 901


FORMS_TAKEN: tuple[dict[str, Any], ...] = (
    {"cvv": None},
    {"cvv": ""},
    {"zip": "", "cardHolder": ""},
    {"zip": None, "cardHolder": None},
    {"cardHolder": " "},
    {"cardHolder": "Łukasz \U0001f4b3"},
    {"number": 4024007179366348},
    {"expirationMonth": 3, "expirationYear": 30},
    {"expirationMonth": "01", "expirationYear": "00"},
    {"cvv": 123},
    {"unknown": [1]},
)


async def test_bodies_of_public_clients_are_accepted(shop: WebShop) -> None:
    """Bodies of public clients are accepted: numbers, empty texts, a holder of one space, unknown fields."""
    for changes in FORMS_TAKEN:
        answer = await shop.tokenize(card(**changes))
        assert answer.status_code == 201, (changes, answer.text)


FAULTY: tuple[tuple[dict[str, Any], list[str]], ...] = (
    ({"number": "4024007179366349"}, ["number"]),
    ({"number": ""}, ["number"]),
    ({"number": "1" * 20}, ["number"]),
    ({"expirationMonth": "13"}, ["expirationMonth"]),
    ({"expirationYear": "1925"}, ["expirationYear"]),
    ({"cvv": "12345"}, ["cvv"]),
    ({"cvv": "1234"}, ["cvv"]),
    ({"cardHolder": "J" * 256}, ["cardHolder"]),
    ({"zip": "1" * 256}, ["zip"]),
    ({"number": [], "expirationMonth": {}, "expirationYear": True}, ["number", "expirationMonth", "expirationYear"]),
    ({"number": None, "expirationMonth": None, "cvv": "x"}, ["number", "expirationMonth", "cvv"]),
    ({"cardHolder": ["Jane"], "zip": {"a": 1}}, ["cardHolder", "zip"]),
)


async def test_every_faulty_field_is_named_at_once(shop: WebShop) -> None:
    """Every faulty field of a card is named at once."""
    for changes, paths in FAULTY:
        await expect_rejection(shop, await shop.tokenize(card(**changes)), *paths)


async def test_missing_x_requested_with_is_rejected(shop: WebShop) -> None:
    """A missing `x-requested-with`, without which any page could post a form, is named with all other faults."""
    for value in ("", "fetch", "XMLHttpRequest2", "XMLHttpRequest, XMLHttpRequest"):
        headers = {"x-requested-with": value}
        await expect_rejection(shop, await shop.tokenize(headers=headers), "x-requested-with")
        answer = await shop.tokenize(card(number="1"), headers=headers | {"X-Request-ID": "a b"})
        await expect_rejection(shop, answer, "x-requested-with", "number", "X-Request-ID")


async def test_x_requested_with_ignores_case(shop: WebShop) -> None:
    """Neither the name of the header nor its value depends on case."""
    for name, value in (("X-Requested-With", "XMLHttpRequest"), ("X-REQUESTED-WITH", "xmlhttprequest")):
        answer = await shop.post("/tokenize", card(), key="", headers={name: value})
        assert answer.status_code == 201


async def test_tokenizing_calls_no_issuer(shop: WebShop) -> None:
    """The response does not show whether a card would be approved, because no issuer is called."""
    answers = [await shop.tokenize(card(name)) for name in ("visa", "decline_05", "decline_41")]
    answers.append(await shop.tokenize(card(number="4000000000000002")))
    assert {answer.status_code for answer in answers} == {201}
    assert len({len(answer.content) for answer in answers}) == 1
    assert {frozenset(answer.headers) for answer in answers} == {frozenset(answers[0].headers)}


async def test_stored_token_contains_no_card_data(shop: WebShop) -> None:
    """The stored rows contain neither the number nor the security code."""
    await shop.tokenize(card(cvv="937"))
    rows = [await shop.fetch(f"select * from {table}") for table in ("token", "security_code")]  # noqa: S608
    stored = repr(rows)
    assert number_of("visa") not in stored
    assert b"937" not in b"".join(row["sealed"] for row in rows[1])


async def test_live_rejects_expired_cards(opened: OpenShop) -> None:
    """An expired card gets no token in live; a card is valid to the end of its month."""
    live = await opened(environment="live")
    today = datetime.now(UTC)
    past = (today.replace(day=1) - timedelta(days=1)).strftime("%m %y").split()
    this = today.strftime("%m %y").split()
    answer = await live.tokenize(card(expirationMonth=past[0], expirationYear=past[1]))
    await expect_rejection(live, answer, "expirationYear")
    assert (await live.tokenize(card(expirationMonth=this[0], expirationYear=this[1]))).status_code == 201
    answer = await live.pay(live.payment({"type": "card"} | card(expirationMonth=past[0], expirationYear=past[1])))
    assert answer.json()["errors"]["paymentSource.expirationYear"] == ["is past; use another card"]


async def test_token_pays_once(shop: WebShop) -> None:
    """A token pays once, approved or not; a second payment is rejected and stores nothing."""
    for name in ("visa", "decline_05"):
        source = {"type": "token", "token": await shop.token(name)}
        assert (await shop.pay(shop.payment(source))).status_code == 201
        stored = await shop.count_rows()
        answer = await shop.pay(shop.payment(source))
        errors = await expect_rejection(shop, answer, "paymentSource.token", stored=stored)
        assert errors["paymentSource.token"] == ["is already used; tokenize the card again"]


async def test_expired_token_is_rejected(shop: WebShop) -> None:
    """A token is valid for fifteen minutes, and an expired one has another message than a used one."""
    source = {"type": "token", "token": await shop.token()}
    await shop.execute("update token set expires_at = now() - interval '1 second'")
    stored = await shop.count_rows()
    errors = await expect_rejection(shop, await shop.pay(shop.payment(source)), "paymentSource.token", stored=stored)
    assert errors["paymentSource.token"] == ["has expired; tokenize the card again"]


async def test_one_of_concurrent_payments_uses_the_token(shop: WebShop) -> None:
    """Of several concurrent payments with one token exactly one is made."""
    source = {"type": "token", "token": await shop.token()}
    answers = await asyncio.gather(*(shop.pay(shop.payment(source)) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 7
    assert {frozenset(answer.json()["errors"]) for answer in answers if answer.status_code == 400} == {
        frozenset({"paymentSource.token"})
    }
    assert (await shop.count_rows(["payment", "transaction"])) == {"payment": 1, "transaction": 1}


async def test_rejected_payment_leaves_the_token_usable(shop: WebShop) -> None:
    """A token can be used after a rejection before the payment began."""
    source = {"type": "token", "token": await shop.token()}
    assert (await shop.pay(shop.payment(source, sku={"name": "GOLD"}))).status_code == 400
    assert (await shop.pay(shop.payment(source), key="wrong")).status_code == 401
    assert (await shop.pay(shop.payment(source))).status_code == 201


async def test_addresses_and_networks_are_rate_limited(opened: OpenShop) -> None:
    """One address and one network have a limit a minute; then 429 says when to retry."""
    shop = await opened(tokenize_by_address=2, tokenize_by_network=3)
    statuses = [await tokenize_from(shop, address) for address in ("198.51.100.1",) * 3 + ("198.51.100.2",) * 2]
    assert statuses == [201, 201, 429, 201, 429]
    assert await tokenize_from(shop, "198.51.101.1") == 201
    assert await tokenize_from(shop, "2001:db8::1") == 201
    stored = await shop.count_rows()
    answer = await open_client(shop.web, address="198.51.100.1").post(
        "/tokenize", json=card(), headers=XML_HTTP_REQUEST
    )
    await expect_rejection(shop, answer, status=429, stored=stored)
    assert 1 <= int(answer.headers["retry-after"]) <= 31


async def test_cards_are_rate_limited(opened: OpenShop) -> None:
    """One card has a limit a minute, from any address."""
    shop = await opened(tokenize_by_card=2)
    statuses = [await tokenize_from(shop, f"198.51.{network}.1") for network in range(3)]
    assert statuses == [201, 201, 429]
    assert (await shop.tokenize(card("mastercard"))).status_code == 201


async def test_api_key_has_its_own_rate_limit(opened: OpenShop) -> None:
    """A valid API key replaces the limits by address with its own; an unusable key does not."""
    shop = await opened(tokenize_by_address=1, tokenize_by_key=3)
    statuses = [(await shop.tokenize(key=shop.merchant.key)).status_code for _ in range(4)]
    assert statuses == [201, 201, 201, 429]
    expired = await add_key(shop, expires_in=timedelta(hours=-1))
    assert [(await shop.tokenize(key=expired)).status_code for _ in range(2)] == [201, 429]


async def test_stage_has_no_rate_limit_by_default(shop: WebShop) -> None:
    """Stage has no rate limits unless they are set, so that test suites can tokenize without pauses."""
    answers = await asyncio.gather(*(shop.tokenize() for _ in range(100)))
    assert {answer.status_code for answer in answers} == {201}


async def test_request_id_is_returned_and_not_stored(shop: WebShop) -> None:
    """Each call creates a new token, also with a repeated X-Request-ID, and stores only the token and its code."""
    headers = {"X-Request-ID": "tokenize-1"}
    before = await shop.count_rows()
    answers = [await shop.tokenize(headers=headers) for _ in range(2)]
    answers += [await shop.tokenize(headers=headers, key=merchant.key) for merchant in (shop.merchant, shop.other)]
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.headers["x-request-id"] for answer in answers} == {"tokenize-1"}
    assert not any("idempotent-replay" in answer.headers for answer in answers)
    assert len({answer.json()["token"] for answer in answers}) == 4
    assert await shop.count_rows() == before | {"token": 4, "security_code": 4}


async def test_malformed_request_id_is_rejected(shop: WebShop) -> None:
    """An X-Request-ID that could not be returned is a fault."""
    answer = await shop.tokenize(headers={"X-Request-ID": "a b"})
    await expect_rejection(shop, answer, "X-Request-ID")


async def tokenize_from(shop: WebShop, address: str) -> int:
    """Tokenize from an address and return the status."""
    async with open_client(shop.web, address=address) as client:
        return (await client.post("/tokenize", json=card(), headers=XML_HTTP_REQUEST)).status_code
