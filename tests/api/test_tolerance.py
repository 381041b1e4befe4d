"""What real clients send is taken as they send it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.issuing import number_of
from tests.support.webshop import IPN_URL, REDIRECT_URL, WebShop, card, consumer, price

#: The currencies and countries of the public PHP client.
CURRENCIES = """
AED ALL AMD ANG ARS AUD AWG BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYR BZD CAD CHF CLP CNY COP CRC CUP CVE
CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD
JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LTL LVL LYD MAD MDL MKD MMK MNT MOP MRO MUR MVR MWK MXN MYR
NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SLL SOS SRD SSP STD
SYP SZL THB TND TOP TRY TTD TWD TZS UAH USD UYU UZS VND VUV WST XAF XAG XAU XCD XDR XOF XPF XPT YER ZAR
"""
#: Codes of that client for what is no money.
METALS = {"XAG", "XAU", "XDR", "XPT"}
#: Those that shops use besides.
MORE_CURRENCIES = "AFN AOA AZN BYN CDF CUC EEK GHS GNF MGA MRU MZN SHP SLE STN TJS TMT UGX VEF VES ZMW ZWL"

PLUGIN_CONSUMER = {
    "externalId": "wp__7",
    "email": "",
    "firstName": "",
    "lastName": "",
    "phone": "(500) 555-0006",
    "country": "FIJ",
    "ip": "203.0.113.45",
    "userAgent": "",
    "browserAcceptHeader": "",
    "browserLanguage": "en",
    "browserJavaEnabled": True,
    "browserColorDepth": "24",
    "browserScreenHeight": "1080",
    "browserScreenWidth": "1920",
    "browserTimezone": "-5.5",
}

PLUGIN_CONSUMER_BROWSER = {name: value for name, value in PLUGIN_CONSUMER.items() if name.startswith("browser")}
del PLUGIN_CONSUMER_BROWSER["browserAcceptHeader"]


async def paid(shop: WebShop, body: Any, **request: Any) -> dict[str, Any]:
    """Pay, and return the answer of an approved payment."""
    response = await shop.pay(body, **request)
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    assert answer["payment"]["status"] == "success"
    return answer


async def test_a_shop_plugin(shop: WebShop) -> None:
    """A plugin tokenizes at its server, pays with `value`, renews by the consumer's id; metadata comes back."""
    tokenized = await shop.tokenize(card(zip="", cardHolder=" "), key=shop.merchant.key)
    metadata = {"version": "2.2.5", "wp_order_id": 123, "trial": 0, "invoice_external_id": ""}
    sku = {"title": "", "siteId": "983759353", "price": [price(10)]}
    url = {"ipnUrl": "http://shop.example/?wc-api=wc_gateway_x", "redirectUrl": "http://shop.example/order/?key=wc_1"}
    body = {
        "paymentSource": {"type": "token", "value": tokenized.json()["token"]},
        "sku": sku,
        "consumer": PLUGIN_CONSUMER,
        "url": url,
        "metadata": metadata,
    }
    # The header is called 0 by mistake.
    answer = await paid(shop, body, headers={"0": "Content-Type: application/json"})
    assert answer["metadata"] == metadata
    assert answer["payment"]["amount"] == 10
    assert answer["consumer"]["externalId"] == "wp__7"
    row = (await shop.fetch("select ipn_url, redirect_url from payment"))[0]
    assert dict(row) == {"ipn_url": url["ipnUrl"], "redirect_url": url["redirectUrl"]}
    body["paymentSource"] = {"type": "consumer", "value": answer["consumer"]["id"]}
    body["metadata"] = {"wp_order_id": 124, "is_vat_included": 0}
    renewed = await paid(shop, body)
    assert renewed["payment"]["action"] == "charge"
    assert renewed["metadata"] == body["metadata"]


async def test_guests_of_a_shop_plugin(shop: WebShop) -> None:
    """A guest's own id is the e-mail address, however long; other clients send numbers."""
    for external_id, written in (("g" * 200 + "@shop.example", None), (7, "7"), (123456789012, "123456789012")):
        sent = consumer(id=None, externalId=external_id, country="ANT")
        answer = await paid(shop, shop.payment(consumer=sent))
        assert answer["consumer"]["externalId"] == (written or external_id)
    assert len(await shop.fetch("select 1 from consumer")) == 3


TYPED = ("firstName", "lastName", "email", "phone", "address", "state", "city", "zip", "browserTimezone")


async def test_long_texts_of_a_shop(shop: WebShop) -> None:
    """Whatever customers typed and browsers said is paid with, with and without 3-D Secure; messages take what fits."""
    typed = dict.fromkeys(TYPED, "\u00e4" * 255)
    wordy = {"userAgent": "Mozilla " * 512, "browserAcceptHeader": "text/html," * 409}
    buyer = consumer(**PLUGIN_CONSUMER_BROWSER, **wordy) | typed
    source = card(cardHolder="\u0416" * 255, zip="\u4e2d" * 255)
    sku = shop.sku(price(title="\u00f6" * 255), title="\u00fc" * 255)
    body = shop.payment({"type": "card"} | source, sku=sku, consumer=buyer, emailOptions=True)
    answer = await paid(shop, body)
    shown = set(TYPED) - {"browserTimezone"}
    assert {name: answer["consumer"][name] for name in shown} == {name: typed[name] for name in shown}
    tokenized = (await shop.tokenize(source)).json()["token"]
    await paid(shop, body | {"paymentSource": {"type": "token", "token": tokenized}})
    for zone in ("-5.5", typed["browserTimezone"]):
        for name in ("frictionless", "challenge"):
            body["paymentSource"] = {"type": "card", "3ds": True} | source | {"number": number_of(name)}
            body["consumer"] = buyer | {"browserTimezone": zone, "browserLanguage": "de-" + "x" * 252}
            answered = await shop.pay(body)
            assert answered.status_code == 201, answered.text
            assert answered.json()["payment"]["status"] != "fail"


async def test_the_public_php_client(shop: WebShop) -> None:
    """The shapes of the public PHP client: all keys always there, `[]` for empty objects, integers and fractions."""
    url = {"ipnUrl": IPN_URL, "redirectUrl": REDIRECT_URL}
    sku = {"price": [price(9.99)], "siteId": "983759353", "title": "Title", "url": url, "action": []}
    buyer = consumer(id=None, externalId="14253ms92m0as", phone="+1987353539", birthday="1990-01-31", state="AL")
    by_card = {"type": "card", "threeDS": False, "emulateCode": "0000", "mid": "123"} | card(cardHolder=None, zip=None)
    body = {"paymentSource": by_card, "sku": sku, "consumer": buyer, "url": [], "emailOptions": True}
    first = await paid(shop, body)
    row = (await shop.fetch("select ipn_url, redirect_url from payment"))[0]
    assert dict(row) == {"ipn_url": IPN_URL, "redirect_url": REDIRECT_URL}
    source = first["payment"]["source"]
    by_name = {"name": "ONE_TIME", "price": [], "url": url}
    for later in (
        {"type": "token", "value": await shop.token(), "3ds": False, "emulateCode": "0000"},
        {"type": "paymentAccountId", "paymentAccountId": source["paymentAccountId"], "mid": "123"},
        {"type": "paymentAccountId", "paymentAccountId": source["paymentAccountId"].upper()},
        {"type": "consumer", "value": first["consumer"]["id"]},
        {"type": "consumer", "value": first["consumer"]["id"], "id": "", "3ds": False},
    ):
        answer = await paid(shop, body | {"paymentSource": later, "sku": by_name, "metadata": ["a", 1]})
        assert answer["payment"]["amount"] == 9.99
        assert answer["payment"]["apiPaymentSource"] == later["type"]
        assert answer["metadata"] == ["a", 1]


async def test_empty_texts_and_nulls(shop: WebShop) -> None:
    """An optional field that is empty or null is one that is not there."""
    for empty in ("", None):
        optional = (
            "phone",
            "state",
            "city",
            "zip",
            "address",
            "birthday",
            "deviceId",
            "userAgent",
            "externalId",
            "email",
        )
        person = consumer() | dict.fromkeys(optional, empty)
        source = {"type": "card"} | card() | {"cvv": empty, "emulateCode": empty, "3ds": empty, "initiator": empty}
        sku = shop.sku(price(offset=empty, repeat=empty)) | {"name": empty, "title": empty, "url": empty}
        answer = await paid(shop, shop.payment(source) | {"sku": sku, "consumer": person, "metadata": empty})
        assert not set(optional) & set(answer["consumer"]) - {"externalId"}


async def test_numbers_as_texts_and_texts_as_numbers(shop: WebShop) -> None:
    """Whether a number comes as a number or a text does not matter."""
    source = {"type": "card"} | card(number=4024007179366348, expirationMonth=3, expirationYear=30, cvv=123)
    sku = {"siteId": 983759353, "title": 5, "price": [price("19.99"), price("5", offset="30d", repeat="3")]}
    answer = await paid(shop, shop.payment(source, sku=sku, consumer=consumer(id=77, zip=10001, phone=1987353539)))
    assert (answer["consumer"]["externalId"], answer["consumer"]["zip"]) == ("77", "10001")
    assert answer["payment"]["amount"] == 19.99
    assert answer["payment"]["source"]["expirationMonth"] == 3
    assert answer["subscription"]["status"] == "active"


async def test_switches(shop: WebShop) -> None:
    """3-D Secure is asked for under either name, in any form of true; and not asked for in any form of false."""
    for name in ("3ds", "threeDS"):
        for value, action in ((True, "redirect"), ("true", "redirect"), (1, "redirect"), ("1", "redirect"),
                              (False, "charge"), ("false", "charge"), (0, "charge"), ("", "charge")):  # fmt: skip
            body = shop.payment({"type": "card", name: value} | card())
            answer = (await shop.pay(body)).json()
            assert answer["payment"]["action"] == action, (name, value)


async def test_urls_of_the_site(shop: WebShop) -> None:
    """The request's URLs come first, then those of its sku, then the site's; each by itself."""
    await shop.execute("update site set ipn_url = 'http://site.example/ipn', redirect_url = 'http://site.example/'")
    for url, sku_url, expected in (
        ({"ipnUrl": IPN_URL}, {"ipnUrl": "http://sku.example/"}, (IPN_URL, "http://site.example/")),
        ([], {"redirectUrl": REDIRECT_URL}, ("http://site.example/ipn", REDIRECT_URL)),
        (None, [], ("http://site.example/ipn", "http://site.example/")),
        ({"ipnUrl": "", "redirectUrl": None}, None, ("http://site.example/ipn", "http://site.example/")),
    ):
        answer = await paid(shop, shop.payment(sku=shop.sku(url=sku_url)) | {"url": url})
        payment_id = int(answer["payment"]["orderId"])
        row = (await shop.fetch("select ipn_url, redirect_url from payment where payment_id = $1", payment_id))[0]
        assert tuple(row) == expected


async def test_currencies(shop: WebShop) -> None:
    """Every currency that shops and clients know is taken, retired ones too, in lower case too; metals are not."""
    for currency in (CURRENCIES + MORE_CURRENCIES).split():
        for spelling in (currency, currency.lower()):
            answer = await shop.pay(shop.payment({"type": "none"}, sku=shop.sku(price(10, spelling))))
            faults = {"paymentSource.type"} | ({"sku.price.0.currency"} if currency in METALS else set())
            assert set(answer.json()["errors"]) == faults, spelling


async def test_a_currency_in_lower_case_is_the_same(shop: WebShop) -> None:
    """What comes in lower case is charged, shown and stored in upper case."""
    answer = await paid(shop, shop.payment(sku=shop.sku(price(10, "eur"))))
    assert answer["payment"]["currency"] == "EUR"


async def test_what_is_no_money_is_never_charged(shop: WebShop) -> None:
    """Codes of ISO 4217 that nobody can pay with are refused wherever a currency is read, and nothing is stored."""
    for currency in ("XXX", "xts", "XAU", "CLF", "CHW"):
        for answer, field in (
            (await shop.pay(shop.payment(sku=shop.sku(price(10, currency)))), "sku.price.0.currency"),
            (
                await shop.post(
                    "/sku", shop.sku() | {"type": "one-time", "title": "t", "amount": 1, "currency": currency}
                ),
                "currency",
            ),
            (await shop.post("/testPaymentData", {"type": "visa", "currency": currency}), "currency"),
            (await shop.post("/stage/faults", {"fault": "latency", "amount": 10, "currency": currency}), "currency"),
            (await shop.post("/subscription/preview", {"price": [price(10, currency)]}), "price.0.currency"),
        ):
            assert (answer.status_code, field in answer.json()["errors"]) == (400, True), answer.text
    assert not await shop.fetch("select 1 from payment")


async def test_traces_of_doubles(shop: WebShop) -> None:
    """An amount that is a minor unit but for the arithmetic of doubles is that amount, as a number and as a text."""
    answers = [await paid(shop, shop.payment(sku=shop.sku(price(sum_)))) for sum_ in (0.1 + 0.2, str(0.1 + 0.2))]
    assert [answer["payment"]["amount"] for answer in answers] == [0.3, 0.3]
    answer = answers[0]
    transaction_id = answer["payment"]["transactionId"]
    for part, is_taken in ((0.30000000000000004 - 0.2, True), ("0.105", False), (0.305, False)):
        credited = await shop.post(f"/payment/{transaction_id}/credit", {"amount": part, "reason": "r"})
        assert (credited.status_code == 201) is is_taken, credited.text
    assert (await shop.pay(shop.payment(sku=shop.sku(price(0.305))))).status_code == 400


async def test_escapes(shop: WebShop) -> None:
    """Text arrives as meant, whether escaped as PHP does or as UTF-8."""
    body = shop.payment(metadata={"slash": "a/b", "text": "ä€\U0001f4b3"}, consumer=consumer(firstName="Žofie"))
    for content in (
        json.dumps(body).replace("/", "\\/").encode(),
        json.dumps(body, ensure_ascii=False).encode(),
    ):
        answer = (await shop.pay(content=content)).json()
        assert answer["metadata"] == body["metadata"]
        assert answer["consumer"]["firstName"] == "Žofie"


async def test_fields_that_nobody_knows(shop: WebShop) -> None:
    """Unknown fields are left alone, at every depth."""
    body = shop.payment()
    for part in (body, body["paymentSource"], body["sku"], body["sku"]["price"][0], body["consumer"], body["url"]):
        part["fee"] = {"items": [1, None]}
    await paid(shop, body)


async def test_the_example_of_the_error_page(shop: WebShop) -> None:
    """What the page on errors shows is what the API answers to such faults."""
    page = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
    example = re.search(r"```json\n(.*?)```", page.read_text(), re.DOTALL)
    assert example
    source = {"type": "card"} | card(number="4024007179366349")
    answer = await shop.pay(shop.payment(source, sku=shop.sku(price(-1))))
    assert answer.json() == json.loads(example[1])


async def test_bounds_of_a_consumer(shop: WebShop) -> None:
    """Every bound holds at its edge; what a customer typed or a browser says is taken at a generous length."""
    largest = {
        "externalId": "e" * 255,
        "email": "e" * 241 + "@shop.example",
        "firstName": "J" * 32,
        "lastName": "S" * 32,
        "birthday": "1990-01-31",
        "address": "a" * 64,
        "deviceId": "d" * 1024,
        "browserLanguage": "l" * 35,
        "ip": "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        **dict.fromkeys(("phone", "state", "city", "zip"), "x" * 255),
        **dict.fromkeys(("userAgent", "browserAcceptHeader"), "x" * 4096),
    }
    smallest = {"id": "1", "firstName": "J", "lastName": "S", "email": "a@b", "ip": "::1", "phone": "?", "state": "s"}
    for fields in (largest, smallest):
        answer = await paid(shop, shop.payment(consumer=fields))
        assert answer["consumer"]["firstName"] == fields["firstName"]
        assert answer["consumer"]["phone"] == fields["phone"]


async def test_a_header_called_0(shop: WebShop) -> None:
    """A header whose name is a number, which a shop plugin sends by mistake, is passed over by every call."""
    headers = {"0": "Content-Type: application/json"}
    assert (await shop.tokenize(headers=headers)).status_code == 201
    assert (await shop.pay(headers=headers)).status_code == 201


async def test_empty_lists_everywhere(shop: WebShop) -> None:
    """`[]` in the place of any object is an empty one, at every depth."""
    source = {"type": "card", "mpiParameters": []} | card()
    sku = shop.sku(url=[], action=[])
    body = shop.payment(source, sku=sku) | {"metadata": [], "emailOptions": []}
    answer = await paid(shop, body)
    assert answer["metadata"] in ({}, [])
    for place in ("paymentSource", "sku", "consumer", "url"):
        faulty = shop.payment() | {place: []}
        errors = (await shop.pay(faulty)).json()["errors"]
        assert errors
        assert all(path.startswith(f"{place}.") for path in errors), (place, errors)
    assert set((await shop.pay([])).json()["errors"]) == {
        "paymentSource",
        "sku",
        "consumer",
        "url.ipnUrl",
        "url.redirectUrl",
    }
    assert (await shop.pay([])).json() == (await shop.pay(content=b"")).json() == (await shop.pay({})).json()


async def test_metadata_of_any_shape(shop: WebShop) -> None:
    """A list, nested objects and texts of any script come back as they were sent, in the callback too."""
    for metadata in (["a", 1, None], {"0": "a", "1": {"x": [True, 1.50]}}, {"ключ": "значение", "鍵": "値"}):
        answer = await paid(shop, shop.payment(metadata=metadata))
        assert answer["metadata"] == metadata
        event = (await shop.fetch("select body from event order by position desc limit 1"))[0]["body"]
        assert json.loads(event)["metadata"] == metadata


async def test_amounts_in_every_exponent(shop: WebShop) -> None:
    """A currency's own decimals are taken and one more is not, for exponents from 0 to 3 and for retired currencies."""
    for currency, exact, too_exact in (
        ("JPY", "1000.0", "1000.5"),
        ("BYR", "20000", "20000.5"),
        ("USD", "10.50", "10.505"),
        ("LTL", "10.55", "10.555"),
        ("STD", "1.05", "1.005"),
        ("KWD", "10.555", "10.5555"),
    ):
        for amount, is_taken in ((exact, True), (too_exact, False)):
            answer = (await shop.pay(shop.payment({"type": "none"}, sku=shop.sku(price(amount, currency))))).json()
            assert ("sku.price.0.amount" not in answer["errors"]) is is_taken, (currency, amount)


@pytest.mark.parametrize(
    "changes",
    [
        {"number": "4024 0071 7936 6348"},
        {"number": "4024-0071-7936-6348"},
        {"number": " 4024\u202f0071\u200e7936 6348\u200b "},
        {"number": "٤٠٢٤٠٠٧١٧٩٣٦٦٣٤٨"},
        {"number": "４０２４００７１７９３６６３４８"},
        {"expirationMonth": "3"},
        {"expirationMonth": "٠٣"},
        {"expirationYear": "2031"},
        {"expirationYear": 2031},
        {"cvv": "００９"},
    ],
)
async def test_cards_as_people_type_them(shop: WebShop, changes: dict[str, Any]) -> None:
    """What the page takes, the calls take: groups, digits of any script, months of one digit, years of four."""
    answer = await shop.tokenize(card() | changes)
    assert answer.status_code == 201, answer.text
    paid_with = (await paid(shop, shop.payment({"type": "card"} | card() | changes)))["payment"]["source"]
    month, year = int(changes.get("expirationMonth", "12")), int(changes.get("expirationYear", "25")) % 100
    assert paid_with["number"] == "402400****6348"
    assert (paid_with["expirationMonth"], paid_with["expirationYear"]) == (month, year)


async def test_a_byte_order_mark_is_skipped(shop: WebShop) -> None:
    """A body that begins with a byte order mark is read as the same body without it."""
    answer = await shop.pay(content=b"\xef\xbb\xbf" + json.dumps(shop.payment()).encode())
    assert answer.status_code == 201, answer.text


async def test_texts_that_cannot_be_stored_are_named(shop: WebShop) -> None:
    """Half of a surrogate pair, which is what remains of an emoji that was cut, is refused by its field."""
    body = json.dumps(shop.payment()).replace('"title": "', '"title": "Box \\ud83d', 1)
    assert "\\ud83d" in body
    answer = await shop.pay(content=body.encode())
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["sku.title"]


@pytest.mark.parametrize(
    ("sent", "address"),
    [
        ("::ffff:203.0.113.45", "203.0.113.45"),
        ("203.0.113.45:49152", "203.0.113.45"),
        ("[::ffff:203.0.113.45]:443", "203.0.113.45"),
        (" 203.0.113.45, 10.0.0.1", "203.0.113.45"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
async def test_one_address_has_one_spelling(shop: WebShop, sent: str, address: str) -> None:
    """A consumer's address is compared, counted, stored and shown in one spelling, whichever it came in."""
    requested = {"type": "visa", "allowedIps": [address, f"::ffff:{address}" if "." in address else address.upper()]}
    made = (await shop.post("/testPaymentData", requested)).json()
    assert made["allowedIps"] == [address]
    source = {"type": "card"} | card(number=made["number"])
    answer = await paid(shop, shop.payment(source, consumer=consumer(ip=sent)))
    assert answer["consumer"].get("ip", address) == address
    elsewhere = shop.payment(source, consumer=consumer(ip="203.0.113.46"))
    assert (await shop.pay(elsewhere)).json()["payment"]["code"] == "5063"
    rows = await shop.fetch("select consumer ->> 'ip' as ip from payment order by payment_id")
    assert {row["ip"] for row in rows} == {address, "203.0.113.46"}


@pytest.mark.parametrize(
    ("sent", "shown"), [("us", "USA"), ("Gb", "GBR"), ("deu", "DEU"), ("FIJ", "FIJ"), ("ant", "ANT"), ("uk", "GBR")]
)
async def test_countries(shop: WebShop, sent: str, shown: str) -> None:
    """A country comes with two letters or three, in any case, and is shown with three, in each call that has one."""
    answer = await paid(shop, shop.payment(consumer=consumer(country=sent, birthday="0000-00-00")))
    assert (answer["consumer"]["country"], answer["consumer"].get("birthday")) == (shown, None)
    made = await shop.post("/consumer", {"externalId": "abc", "country": sent, "birthday": "0000-00-00"})
    assert (made.json()["country"], made.json().get("birthday")) == (shown, None)
