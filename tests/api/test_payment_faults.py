"""Payments that are refused: every faulty field is named at once by its path, and nothing is stored."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import pytest
from tests.support.webshop import IPN_URL, REDIRECT_URL, WebShop, card, consumer, dump, expect_rejection, price

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONSUMER_ID = "c0123456789abcdefghjkmnpq"


def without_luhn_digit(number: str) -> str:
    """Return a card number with a wrong last digit."""
    return number[:-1] + str((int(number[-1]) + 1) % 10)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", without_luhn_digit("4024007179366348")),
        ("number", "4024 0071 7936 634x"),
        ("number", "4024,0071,7936,6348"),
        ("number", "40240071793"),
        ("number", "40240071793663480000"),
        ("number", 12),
        ("number", 4024007179366348.5),
        ("number", True),
        ("number", ["4024007179366348"]),
        ("number", {"4024007179366348": 1}),
        ("number", None),
        ("number", ""),
        ("expirationMonth", "00"),
        ("expirationMonth", "13"),
        ("expirationMonth", 13),
        ("expirationMonth", "0"),
        ("expirationMonth", "012"),
        ("expirationMonth", "-1"),
        ("expirationMonth", "December"),
        ("expirationMonth", True),
        ("expirationMonth", None),
        ("expirationYear", "1925"),
        ("expirationYear", 12025),
        ("expirationYear", "5"),
        ("expirationYear", "xx"),
        ("expirationYear", []),
        ("expirationYear", None),
        ("cvv", "12"),
        ("cvv", "1234"),
        ("cvv", "12345"),
        ("cvv", "12x"),
        ("cvv", 9),
        ("cvv", True),
        ("cvv", ["009"]),
        ("cardHolder", "J" * 256),
        ("cardHolder", ["Jane"]),
        ("cardHolder", True),
        ("zip", "1" * 256),
        ("zip", {}),
        ("emulateCode", "000"),
        ("emulateCode", "0000000"),
        ("emulateCode", "00 0"),
        ("3ds", "perhaps"),
        ("3ds", 7),
        ("threeDS", []),
        ("initiator", "bank"),
        ("initiator", 1),
    ],
)
async def test_faulty_card_field_is_named(refusing_shop: WebShop, field: str, value: Any) -> None:
    """A faulty field of the card is named by its path."""
    shop = refusing_shop
    answer = await shop.pay(shop.payment({"type": "card"} | card() | {field: value}))
    await expect_rejection(shop, answer, f"paymentSource.{field}")


async def test_security_code_has_the_length_of_its_brand(refusing_shop: WebShop) -> None:
    """A security code has the number of digits of its brand."""
    shop = refusing_shop
    answer = await shop.pay(shop.payment({"type": "card"} | card("amex", cvv="009")))
    errors = await expect_rejection(shop, answer, "paymentSource.cvv")
    assert errors["paymentSource.cvv"] == ["must have 4 digits"]


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ({}, "paymentSource.type"),
        ([], "paymentSource.type"),
        ({"type": ""}, "paymentSource.type"),
        ({"type": None}, "paymentSource.type"),
        ({"type": "cash"}, "paymentSource.type"),
        ({"type": "Card"}, "paymentSource.type"),
        ({"type": 5}, "paymentSource.type"),
        ({"type": ["card"]}, "paymentSource.type"),
        ({"type": {"card": 1}}, "paymentSource.type"),
        ("card", "paymentSource"),
        (["card"], "paymentSource"),
        (5, "paymentSource"),
        (True, "paymentSource"),
        ({"type": "token"}, "paymentSource.token"),
        ({"type": "token", "token": ""}, "paymentSource.token"),
        ({"type": "token", "token": "abcd"}, "paymentSource.token"),
        ({"type": "token", "token": "x" * 37}, "paymentSource.token"),
        ({"type": "token", "token": True}, "paymentSource.token"),
        ({"type": "token", "token": []}, "paymentSource.token"),
        ({"type": "token", "token": {"a": 1}}, "paymentSource.token"),
        ({"type": "token", "token": "no-token"}, "paymentSource.token"),
        ({"type": "token", "token": 12345.5}, "paymentSource.token"),
        ({"type": "token", "token": 123456}, "paymentSource.token"),
        ({"type": "token", "token": str(uuid4())}, "paymentSource.token"),
        ({"type": "token", "value": "abcd"}, "paymentSource.token"),
        ({"type": "token", "value": str(uuid4())}, "paymentSource.token"),
        ({"type": "consumer", "value": "c123"}, "paymentSource.id"),
        ({"type": "consumer", "value": [CONSUMER_ID]}, "paymentSource.id"),
        ({"type": "paymentAccountIdWithCvv"}, ["paymentSource.paymentAccountId", "paymentSource.cvv"]),
        (
            {"type": "paymentAccountIdWithCvv", "paymentAccountId": str(uuid4()), "cvv": "x"},
            ["paymentSource.paymentAccountId", "paymentSource.cvv"],
        ),
        ({"type": "paymentAccountId"}, "paymentSource.paymentAccountId"),
        ({"type": "paymentAccountId", "paymentAccountId": "short"}, "paymentSource.paymentAccountId"),
        ({"type": "paymentAccountId", "paymentAccountId": "x" * 36}, "paymentSource.paymentAccountId"),
        ({"type": "paymentAccountId", "paymentAccountId": str(uuid4())}, "paymentSource.paymentAccountId"),
        ({"type": "paymentAccountId", "paymentAccountId": [str(uuid4())]}, "paymentSource.paymentAccountId"),
        ({"type": "consumer"}, "paymentSource.id"),
        ({"type": "consumer", "id": "c123"}, "paymentSource.id"),
        ({"type": "consumer", "id": "user-00123"}, "paymentSource.id"),
        ({"type": "consumer", "id": CONSUMER_ID}, "paymentSource.id"),
        ({"type": "consumer", "id": 1234.5}, "paymentSource.id"),
        ({"type": "consumer", "id": {"id": CONSUMER_ID}}, "paymentSource.id"),
    ],
)
async def test_faulty_source_is_named(refusing_shop: WebShop, source: Any, path: str | list[str]) -> None:
    """A source of an unknown type, without its fields, or with an unknown ID is named."""
    body = refusing_shop.payment() | {"paymentSource": source}
    paths = [path] if isinstance(path, str) else path
    await expect_rejection(refusing_shop, await refusing_shop.pay(body), *paths)


@pytest.mark.parametrize(
    ("sku", "paths"),
    [
        ({}, ["sku.siteId"]),
        ([], ["sku.siteId"]),
        ({"siteId": "", "name": ""}, ["sku.siteId"]),
        ({"title": "Premium", "price": [price()]}, ["sku.siteId"]),
        ({"siteId": "1", "price": [price()]}, ["sku.siteId"]),
        ({"siteId": "abc", "price": [price()]}, ["sku.siteId"]),
        ({"siteId": "９８３７５９３５３", "price": [price()]}, ["sku.siteId"]),
        ({"siteId": "9" * 20, "price": [price()]}, ["sku.siteId"]),
        ({"siteId": "9" * 37, "price": [price()]}, ["sku.siteId"]),
        ({"siteId": 983759353.5, "price": [price()]}, ["sku.siteId"]),
        ({"siteId": -1, "price": [price()]}, ["sku.siteId"]),
        ({"siteId": True, "price": [price()]}, ["sku.siteId"]),
        ({"siteId": ["983759353"], "price": [price()]}, ["sku.siteId"]),
        ({"siteId": {"id": "983759353"}, "price": [price()]}, ["sku.siteId"]),
        ({"name": "GOLD"}, ["sku.name"]),
        ({"name": "premium_monthly"}, ["sku.name"]),
        ({"name": 5.5}, ["sku.name"]),
        ({"name": ["ONE_TIME"]}, ["sku.name"]),
        ({"name": "N" * 37}, ["sku.name"]),
        ({"name": "GOLD", "siteId": "1"}, ["sku.name", "sku.siteId"]),
        ({"siteId": "983759353"}, ["sku.price"]),
        ({"siteId": "983759353", "price": []}, ["sku.price"]),
        ({"siteId": "1"}, ["sku.siteId", "sku.price"]),
        ({"siteId": "983759353", "price": price()}, ["sku.price"]),
        ({"siteId": "983759353", "price": "19.99"}, ["sku.price"]),
        ({"siteId": "983759353", "price": [19.99]}, ["sku.price.0"]),
        ({"siteId": "983759353", "price": [price(), "x"]}, ["sku.price.1"]),
        ({"siteId": "983759353", "price": [[]]}, ["sku.price.0.amount", "sku.price.0.currency"]),
        ({"siteId": "983759353", "price": [price()] * 21}, ["sku.price"]),
        ({"siteId": "983759353", "price": [price()], "title": "T" * 256}, ["sku.title"]),
        ({"siteId": "983759353", "price": [price()], "title": ["T"]}, ["sku.title"]),
        ({"siteId": "983759353", "price": [price()], "url": "x"}, ["sku.url"]),
        ({"siteId": "983759353", "price": [price()], "url": {"ipnUrl": "x"}}, ["sku.url.ipnUrl"]),
        ("PREMIUM_MONTHLY", ["sku"]),
        (5, ["sku"]),
    ],
)
async def test_faulty_sku_is_named(refusing_shop: WebShop, sku: Any, paths: list[str]) -> None:
    """A request names a site with prices, or a SKU by its name."""
    body = refusing_shop.payment() | {"sku": sku}
    await expect_rejection(refusing_shop, await refusing_shop.pay(body), *paths)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (10.5, "JPY", "has more decimals than JPY, which has 0"),
        (1.999, "USD", "has more decimals than USD, which has 2"),
        ("1.999", "USD", "has more decimals than USD, which has 2"),
        (1.9999, "KWD", "has more decimals than KWD, which has 3"),
        (-1, "USD", "must be 0 or more"),
        (-0.01, "USD", "must be 0 or more"),
        (10_000_000_000, "USD", "is too large"),
        (1_000_000_000_000, "JPY", "is too large"),
        (10**30, "USD", "is too large"),
        ("-1", "USD", "must be a number"),
        ("1e3", "USD", "must be a number"),
        ("1,99", "USD", "must be a number"),
        ("$1", "USD", "must be a number"),
        (" 1", "USD", "must be a number"),
        ("٣", "USD", "must be a number"),
        ("NaN", "USD", "must be a number"),
        (True, "USD", "must be a number"),
        ([], "USD", "must be a number"),
        ({"amount": 1}, "USD", "must be a number"),
        (None, "USD", "is required"),
        ("", "USD", "is required"),
    ],
)
async def test_faulty_amount_is_named(refusing_shop: WebShop, amount: Any, currency: str, text: str) -> None:
    """An amount is a number from 0 to the maximum, with the decimals of its currency."""
    shop = refusing_shop
    answer = await shop.pay(shop.payment(sku=shop.sku(price(amount, currency))))
    errors = await expect_rejection(shop, answer, "sku.price.0.amount")
    assert errors == {"sku.price.0.amount": [text]}


async def test_decimals_that_a_float_cannot_hold_are_rejected(refusing_shop: WebShop) -> None:
    """A digit that a double can represent is a decimal too many, as a number and as a text."""
    shop = refusing_shop
    for amount in ("1." + "0" * 13 + "1", "1.00000000000001", "0.305", "0.3000000000001"):
        for written in (amount, f'"{amount}"'):
            body = json.dumps(shop.payment(sku=shop.sku(price("AMOUNT")))).replace('"AMOUNT"', written)
            await expect_rejection(shop, await shop.pay(content=body), "sku.price.0.amount")


@pytest.mark.parametrize(
    "currency",
    [
        *("XXY", "XXX", "xts", "XAU", "CLF", "CHE", "u\u017fd", " USD", "US", "USDX", "840", "U$D"),
        *(840, True, ["USD"], {}, "", None),
    ],
)
async def test_unknown_currency_is_rejected(refusing_shop: WebShop, currency: Any) -> None:
    """A currency is the letters of one of ISO 4217 in which payments are possible."""
    shop = refusing_shop
    await expect_rejection(shop, await shop.pay(shop.payment(sku=shop.sku(price(1, currency)))), "sku.price.0.currency")


async def test_unknown_currency_hides_no_faulty_amount(refusing_shop: WebShop) -> None:
    """A fault of an amount in every currency is named even if the currency is unknown."""
    shop = refusing_shop
    answer = await shop.pay(shop.payment(sku=shop.sku(price(-1, "XXY"), price("x", "XXY"))))
    paths = [f"sku.price.{index}.{field}" for index in (0, 1) for field in ("amount", "currency")]
    await expect_rejection(shop, answer, *paths)


@pytest.mark.parametrize(
    "offset", ["d", "1", "-1d", "1h", "1.5d", "d1", " 1d", "1D", "0d\n", "123456d", "101y", "٣d", 1, True, [], {}]
)
async def test_faulty_offset_is_rejected(refusing_shop: WebShop, offset: Any) -> None:
    """An offset is a number of days, weeks, months or years, a century at most."""
    shop = refusing_shop
    answer = await shop.pay(shop.payment(sku=shop.sku(price(offset=offset))))
    await expect_rejection(shop, answer, "sku.price.0.offset")


@pytest.mark.parametrize("repeat", ["yes", -1, 1.5, 1001, "٣", [], {}, ["true"]])
async def test_faulty_repetition_is_rejected(refusing_shop: WebShop, repeat: Any) -> None:
    """A price repeats without end, never, or a number of times."""
    shop = refusing_shop
    answer = await shop.pay(shop.payment(sku=shop.sku(price(), price(offset="30d", repeat=repeat))))
    await expect_rejection(shop, answer, "sku.price.1.repeat")


async def test_prices_that_conflict_are_each_named(refusing_shop: WebShop) -> None:
    """Prices that conflict are named, each of them."""
    shop = refusing_shop
    prices = [
        price(repeat=True),
        price(offset="30d", currency="EUR"),
        price(offset="30d", repeat=True),
        price(offset="30d"),
    ]
    answer = await shop.pay(shop.payment(sku=shop.sku(*prices)))
    await expect_rejection(shop, answer, "sku.price.0", "sku.price.1", "sku.price.3")


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"ip": None}, ["consumer.ip"]),
        ({"ip": ""}, ["consumer.ip"]),
        ({"ip": "shop.example"}, ["consumer.ip"]),
        ({"ip": "203.0.113"}, ["consumer.ip"]),
        ({"ip": "203.0.113.256"}, ["consumer.ip"]),
        ({"ip": "203.0.113.45:"}, ["consumer.ip"]),
        ({"ip": "unknown, 203.0.113.45"}, ["consumer.ip"]),
        ({"ip": 5}, ["consumer.ip"]),
        ({"ip": ["203.0.113.45"]}, ["consumer.ip"]),
        ({"firstName": None}, ["consumer.firstName"]),
        ({"firstName": "", "lastName": ""}, ["consumer.firstName", "consumer.lastName"]),
        ({"firstName": None, "lastName": None, "ip": None}, ["consumer.firstName", "consumer.lastName", "consumer.ip"]),
        ({"firstName": "J" * 256, "lastName": "S" * 256}, ["consumer.firstName", "consumer.lastName"]),
        ({"address": "a" * 256}, ["consumer.address"]),
        ({"deviceId": "d" * 1025}, ["consumer.deviceId"]),
        ({"browserLanguage": "l" * 256}, ["consumer.browserLanguage"]),
        ({"birthday": "31.01.1990"}, ["consumer.birthday"]),
        ({"birthday": "1990-02-30"}, ["consumer.birthday"]),
        (
            dict.fromkeys(("phone", "state", "city", "zip"), "x" * 256),
            ["consumer.phone", "consumer.state", "consumer.city", "consumer.zip"],
        ),
        (
            dict.fromkeys(("userAgent", "browserAcceptHeader"), "x" * 4097),
            ["consumer.userAgent", "consumer.browserAcceptHeader"],
        ),
        ({"lastName": True}, ["consumer.lastName"]),
        ({"id": "i" * 37}, ["consumer.id"]),
        ({"id": ["user-1"]}, ["consumer.id"]),
        ({"externalId": "e" * 256}, ["consumer.externalId"]),
        ({"externalId": {"id": 1}}, ["consumer.externalId"]),
        ({"email": "e" * 256}, ["consumer.email"]),
        ({"email": ["jane@shop.example"]}, ["consumer.email"]),
        ({"country": "u"}, ["consumer.country"]),
        ({"country": "zz"}, ["consumer.country"]),
        ({"country": "USAA"}, ["consumer.country"]),
        ({"phone": ["1"]}, ["consumer.phone"]),
        ({"browserJavaEnabled": ["x"]}, ["consumer.browserJavaEnabled"]),
        ({"browserColorDepth": {"a": 1}}, ["consumer.browserColorDepth"]),
        ({"browserScreenHeight": [1]}, ["consumer.browserScreenHeight"]),
        ({"browserScreenWidth": [1]}, ["consumer.browserScreenWidth"]),
        ({"browserTimezone": {"a": 1}}, ["consumer.browserTimezone"]),
        ({"userAgent": ["x"]}, ["consumer.userAgent"]),
    ],
)
async def test_faulty_consumer_field_is_named(
    refusing_shop: WebShop, changes: dict[str, Any], paths: list[str]
) -> None:
    """The consumer's address is required, and the names with a card number; all other fields have bounds."""
    body = refusing_shop.payment(consumer=consumer(**changes))
    await expect_rejection(refusing_shop, await refusing_shop.pay(body), *paths)


async def test_fault_names_the_expected_form(refusing_shop: WebShop) -> None:
    """The fault of a common but wrong form names the expected form."""
    urls = {"ipnUrl": "https://shop.example/" + "x" * 2048, "redirectUrl": "https://shop.example:99999/"}
    body = refusing_shop.payment(consumer=consumer(country="United States"), url=urls)
    assert (await refusing_shop.pay(body)).json()["errors"] == {
        "consumer.country": ["must be a country of ISO 3166-1, with two letters or three, as US or USA"],
        "url.ipnUrl": ["must have at most 2048 characters"],
        "url.redirectUrl": ["must be a URL with a valid host and port"],
    }


@pytest.mark.parametrize("empty", [{}, []])
async def test_empty_consumer_names_every_missing_field(refusing_shop: WebShop, empty: Any) -> None:
    """All missing fields of an empty consumer are named at once."""
    body = refusing_shop.payment() | {"consumer": empty}
    paths = ("consumer.ip", "consumer.firstName", "consumer.lastName")
    await expect_rejection(refusing_shop, await refusing_shop.pay(body), *paths)


@pytest.mark.parametrize(
    "url",
    [
        "shop.example",
        "//shop.example",
        "ftp://shop.example/",
        "http:///x",
        "http://",
        "https://shop.example:port/",
        "javascript:alert(1)",
        "http://shop.example/a b",
        "http://shop.example/\n",
        "http://[::1",
        "http://x/" + "y" * 2048,
        5,
        True,
        ["http://shop.example"],
        {"url": "http://shop.example"},
    ],
)
async def test_faulty_url_is_rejected(refusing_shop: WebShop, url: Any) -> None:
    """A URL is one to which callbacks and browsers can be sent."""
    for field in ("ipnUrl", "redirectUrl"):
        urls = {"ipnUrl": IPN_URL, "redirectUrl": REDIRECT_URL} | {field: url}
        answer = await refusing_shop.pay(refusing_shop.payment(url=urls))
        await expect_rejection(refusing_shop, answer, f"url.{field}")


@pytest.mark.parametrize("url", [None, {}, [], {"ipnUrl": ""}, {"ipnUrl": None, "redirectUrl": ""}])
async def test_payment_of_a_site_without_urls_needs_both(refusing_shop: WebShop, url: Any) -> None:
    """A payment of a site without URLs must have both."""
    answer = await refusing_shop.pay(refusing_shop.payment(url=url))
    await expect_rejection(refusing_shop, answer, "url.ipnUrl", "url.redirectUrl")


@pytest.mark.parametrize("metadata", ["text", 5, True, 1.5, {"a": "x" * 17_000}])
async def test_metadata_out_of_bounds_is_rejected(refusing_shop: WebShop, metadata: Any) -> None:
    """Metadata is an object or a list of bounded size, since every response and callback has it."""
    answer = await refusing_shop.pay(refusing_shop.payment(metadata=metadata))
    await expect_rejection(refusing_shop, answer, "metadata")


async def test_merchant_cannot_initiate_the_first_payment(refusing_shop: WebShop) -> None:
    """A merchant-initiated charge without an earlier payment by the consumer is rejected."""
    answer = await refusing_shop.pay(refusing_shop.payment({"type": "card", "initiator": "merchant"} | card()))
    await expect_rejection(refusing_shop, answer, "paymentSource.initiator")


async def test_all_faults_are_named_at_once(refusing_shop: WebShop) -> None:
    """Faults of form, references, dependent fields and headers are named in one response."""
    body = {
        "paymentSource": {"type": "card", "number": "4024007179366349", "expirationMonth": "13", "cvv": "x"},
        "sku": {"siteId": "1", "name": "GOLD", "title": ["x"], "price": [price(-1), price(1.999), price(1, "XXY")]},
        "consumer": {"firstName": "", "country": "u"},
        "url": {"ipnUrl": "nowhere"},
        "metadata": "text",
    }
    answer = await refusing_shop.pay(body, headers={"X-Request-ID": "not well formed"})
    await expect_rejection(
        refusing_shop,
        answer,
        "X-Request-ID",
        "paymentSource.number",
        "paymentSource.expirationMonth",
        "paymentSource.expirationYear",
        "paymentSource.cvv",
        "sku.siteId",
        "sku.name",
        "sku.title",
        "sku.price.0.amount",
        "sku.price.1.amount",
        "sku.price.2.currency",
        "consumer.firstName",
        "consumer.lastName",
        "consumer.ip",
        "consumer.country",
        "url.ipnUrl",
        "url.redirectUrl",
        "metadata",
    )


WRONG: tuple[Any, ...] = (
    [],
    ["x"],
    [[]],
    {},
    {"x": 1},
    True,
    False,
    0,
    -1,
    1.5,
    10**39,
    "x",
    "",
    "\U0001f4a9" * 40,
    None,
)


async def test_wrong_type_of_any_field_is_named(refusing_shop: WebShop) -> None:
    """A wrong type of any field is rejected by its path, unless the field is optional."""
    shop = refusing_shop
    whole = shop.payment(consumer=consumer(browserColorDepth=24, browserJavaEnabled=True, externalId="e-1"))
    whole["sku"]["url"] = dict(whole["url"])
    whole["metadata"] = {"a": 1}
    for faulty, path in mutate(whole):
        # With a price that cannot be, nothing is stored also where the mutation is harmless.
        faulty.setdefault("sku", {})
        answer = await shop.pay(content=dump(spoil(faulty)))
        assert answer.status_code == 400, (path, answer.text)
        errors = set(answer.json()["errors"])
        strangers = {one for one in errors if not belongs(one, path)}
        assert strangers <= {"sku.price.0.amount", "sku.price"}, (path, answer.text)
    assert not any((await shop.count_rows()).values())


DEEPER: dict[str, tuple[str, ...]] = {
    "paymentSource.mpiParameters": (
        *("authStatus", "cavv", "eci", "protocolVersion", "directoryServerTransactionId", "scaExemption"),
    ),
    "paymentSource": ("mid", "mpiParameters"),
    "sku": ("action", "domainName", "xsell"),
    "sku.action": ("type", "id"),
    "sku.price.0": (
        *("currency", "offset", "repeat", "title"),
        *("beforeTaxes", "afterTaxes", "taxes", "taxRate", "taxName"),
    ),
}


async def test_wrong_type_of_any_nested_field_is_named_or_ignored(refusing_shop: WebShop) -> None:
    """A wrong type of a rarely used field is rejected by its path, or ignored."""
    shop = refusing_shop
    for place, fields in DEEPER.items():
        for field, value in itertools.product(fields, WRONG):
            body = shop.payment()
            content: Any = body
            for step in place.split("."):
                content = content[int(step)] if step.isdigit() else content.setdefault(step, {})
            content[field] = value
            body["url"] = {"ipnUrl": "nowhere"}  # so that nothing is stored also where the value is harmless
            answer = await shop.pay(body)
            assert answer.status_code == 400, (place, field, value, answer.text)
            errors = set(answer.json()["errors"]) - {"url.ipnUrl", "url.redirectUrl"}
            assert all(path.startswith(place) for path in errors), (place, field, value, answer.text)
    assert not any((await shop.count_rows()).values())


def mutate(whole: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield bodies in which one part or field is something else, with its path."""
    for part, content in whole.items():
        for value in WRONG:
            yield dict(copy.deepcopy(whole)) | {part: value}, part
            for field in content:
                faulty = dict(copy.deepcopy(whole))
                faulty[part][field] = value
                yield faulty, f"{part}.{field}"


def spoil(body: dict[str, Any]) -> dict[str, Any]:
    """Make the amount of the first price impossible, if there is one."""
    sku = body["sku"]
    prices = sku.get("price") if isinstance(sku, dict) else None
    if isinstance(prices, list) and prices and isinstance(prices[0], dict) and "amount" in prices[0]:
        prices[0]["amount"] = -1
    return body


def belongs(path: str, mutated: str) -> bool:
    """Tell whether a fault may come from the mutation: it is there, below, above, or in what leans on it."""
    leaning = {"sku": ["url"], "url": ["sku"], "sku.siteId": ["sku"], "consumer": ["consumer"]}
    related = [mutated, *leaning.get(mutated, [])]
    return any(path == one or path.startswith(f"{one}.") or one.startswith(f"{path}.") for one in related)
