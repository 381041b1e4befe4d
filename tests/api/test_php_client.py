"""The public PHP client's calls, as that client sends them and reads the answers: every one that concerns cards.

Whatever is missing, or of a kind that PHP does not take for another, ends these tests with a PhpTypeError or a
PhpWarning.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.support.issuing import number_of
from tests.support.php_client import ClientError, PhpClient, read_answer
from tests.support.webshop import IPN_URL, REDIRECT_URL, WebShop, clone_database, open_webshop

from tollhouse.phones.sender import RecordingSender

pytestmark = pytest.mark.asyncio(loop_scope="module")

URL = {"ipnUrl": IPN_URL, "redirectUrl": REDIRECT_URL}
PHONE = "+1 (500) 555.0006"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def php_shop(postgres_dsn: str, template: str) -> AsyncIterator[WebShop]:
    """One application for the tests of this module."""
    async with clone_database(postgres_dsn, template) as dsn, open_webshop(dsn) as shop:
        yield shop


@pytest.fixture
def php(php_shop: WebShop) -> PhpClient:
    """The client, with the merchant's key."""
    return PhpClient(php_shop.client, php_shop.merchant.key)


def card(**changes: Any) -> dict[str, Any]:
    """Build the card of a request to tokenize: years of two digits, the holder and the zip are optional."""
    own = {"number": number_of("visa"), "expirationYear": "30", "expirationMonth": "12", "cvv": "123"}
    return own | changes


def card_source(**changes: Any) -> dict[str, Any]:
    """Build a card source: 3-D Secure is `threeDS` here and `3ds` with tokens."""
    return {"type": "card"} | card() | {"threeDS": False, "emulateCode": "0000"} | changes


def buyer(name: str = "1") -> dict[str, Any]:
    """Build a consumer by its own id."""
    return {
        "externalId": f"user-{name}",
        "email": "jane@shop.example",
        "firstName": "Jane",
        "lastName": "Smith",
        "birthday": "1990-01-31",
        "phone": "+1987353539",
        "country": "USA",
        "ip": "203.0.113.45",
        "browserJavaEnabled": False,
        "browserColorDepth": 24,
        "browserScreenHeight": 1080,
        "browserScreenWidth": 1920,
        "browserTimezone": "-180",
    }


def sku(shop: WebShop, amount: float = 9.99, currency: str = "USD", **changes: Any) -> dict[str, Any]:
    """Build a sku by its site."""
    price = {"offset": "0d", "amount": amount, "currency": currency, "repeat": False}
    return {"price": [price], "siteId": str(shop.merchant.site_id), "title": "Title", "url": URL} | changes


async def paid(php: PhpClient, shop: WebShop, name: str, amount: float = 9.99) -> Any:
    """Pay with a card as another person, and return the answer of an approved payment."""
    answer = await php.pay(card_source(), sku(shop, amount), consumer=buyer(name), url=URL)
    assert answer.payment["status"] == "success"
    return answer


async def test_tokens(php: PhpClient, php_shop: WebShop) -> None:
    """A card becomes a token and pays; a stored card with its security code does too."""
    token = await php.generate_card_data_token(**card(cardHolder="Jane Smith", zip="10001"))
    source = {"type": "token", "value": token["token"], "3ds": False, "emulateCode": "0000"}
    first = await php.pay(source, sku(php_shop), consumer=buyer("tokens"), url=URL)
    assert (first.payment["status"], first.payment["code"], first.payment["action"]) == ("success", "0", "charge")
    assert first.source is not None
    again = await php.generate_card_data_token_using_payment_account_id(
        payment_account_id=first.source["paymentAccountId"], consumer_id=first.consumer["id"], cvv="123"
    )
    second = await php.pay({"type": "token", "value": again["token"]}, sku(php_shop), consumer=buyer("tokens"), url=URL)
    assert second.payment["status"] == "success"
    assert second.consumer["id"] == first.consumer["id"]


async def test_card_sources(php: PhpClient, php_shop: WebShop) -> None:
    """Every card source pays, in the fields that the client gives it; what it knows comes back, metadata with types."""
    first = await php.pay(
        card_source(mid="simulated"),
        sku(php_shop, 10.0, action=[]),
        consumer=buyer("sources"),
        metadata={"order": 7, "text": "a/b ä", "is": True, "none": ""},
        emailOptions=True,
    )
    assert (first.payment["amount"], first.payment["currency"]) == (10.0, "USD")
    assert first.metadata == {"order": 7, "text": "a/b ä", "is": True, "none": ""}
    assert first.consumer["externalId"] == "user-sources"
    assert first.source is not None
    account = first.source["paymentAccountId"]
    by_name = {"name": "ONE_TIME", "price": [], "url": URL}
    for source in (
        {"type": "consumer", "value": first.consumer["id"], "emulateCode": "0000"},
        {"type": "paymentAccountId", "paymentAccountId": account, "emulateCode": "0000"},
        {"type": "paymentAccountIdWithCvv", "paymentAccountId": account, "cvv": "123"},
        {"type": "cc_token"},
    ):
        consumer = buyer("sources") | ({"id": first.consumer["id"]} if source["type"] == "cc_token" else {})
        answer = await php.pay(source, by_name, consumer=consumer, metadata={"0": "a", "1": 1})
        assert answer.payment["status"] == "success", (source, answer.payment)
        assert answer.payment["amount"] == 9.99
        assert answer.metadata == ["a", 1]


async def test_a_subscription(php: PhpClient, php_shop: WebShop) -> None:
    """The sign-up's subscription has a whole id and a cycle."""
    by_name = {"name": "PREMIUM_MONTHLY", "price": [], "url": URL}
    answer = await php.pay(card_source(), by_name, consumer=buyer("subscriber"))
    assert answer.subscription is not None
    assert (answer.subscription["status"], answer.subscription["cycle"]) == ("active", 0)
    assert answer.subscription["id"] > 0
    assert (await paid(php, php_shop, "no-subscriber")).subscription is None


async def test_a_subscription_is_changed_and_ended(php: PhpClient) -> None:
    """Every call about a subscription answers with it, id and cycle as whole numbers, whatever is left out."""
    signed_up = await php.pay(card_source(), {"name": "PREMIUM_MONTHLY", "price": []}, consumer=buyer("s"), url=URL)
    assert signed_up.subscription is not None
    number = signed_up.subscription["id"]
    assert await php.get_subscription(number) == signed_up.subscription
    assert await php.change_subscription(number) == signed_up.subscription
    price = {"offset": "30d", "amount": 24.5, "currency": "USD", "repeat": True}
    assert (await php.change_subscription(number, [price]))["renewalDate"] == signed_up.subscription["renewalDate"]
    changed = await php.change_payment_account_for_subscription(number, card_source(number=number_of("mastercard")))
    assert (changed.payment["status"], changed.payment["code"]) == ("success", "0")
    assert changed.subscription == signed_up.subscription
    asked = await php.change_payment_account_for_subscription(
        number, card_source(number=number_of("challenge"), threeDS=True), consumer=buyer("s")
    )
    assert (asked.payment["action"], asked.subscription) == ("redirect", signed_up.subscription)
    kept = await php.cancel_subscription(
        number, sendEmail=True, keepActiveUntilNextRebill=True, cancelDate="2099-01-01 00:00:00", reason="moves"
    )
    assert (kept["status"], kept["cancelDate"]) == ("active", "2099-01-01 00:00:00")
    assert (await php.cancel_subscription(number))["status"] == "canceled"
    assert (await php.recover_subscription(number))["status"] == "active"
    with pytest.raises(ClientError) as missing:
        await php.get_subscription("1")
    assert missing.value.status == 404


async def test_declines_and_challenges(php: PhpClient, php_shop: WebShop) -> None:
    """A decline is an answer and no error, and has all its parts; a challenge has its address, which no other has."""
    declined = await php.pay(card_source(emulateCode="5051"), sku(php_shop), consumer=buyer("poor"), url=URL)
    assert (declined.payment["status"], declined.payment["code"]) == ("fail", "5051")
    assert declined.payment["description"]
    assert declined.payment["url"] is None
    challenged = await php.pay(
        card_source(number=number_of("challenge"), threeDS=True, emulateCode="0000"),
        sku(php_shop), consumer=buyer("challenged"), url=URL,
    )  # fmt: skip
    assert (challenged.payment["status"], challenged.payment["action"]) == ("pending", "redirect")
    assert challenged.payment["url"].startswith("http")
    assert "url" not in php.log[-1].json()


async def test_credits(php: PhpClient, php_shop: WebShop) -> None:
    """A part of a payment is given back, then the rest; the answer has a consumer and metadata as payments do."""
    answer = await paid(php, php_shop, "credited", 30.0)
    part = await php.credit(answer.payment["transactionId"], reason="Returned / broken", amount=12.5)
    assert (part.payment["mode"], part.payment["amount"], part.payment["status"]) == ("refund", 12.5, "success")
    assert part.consumer["id"] == answer.consumer["id"]
    rest = await php.credit(answer.payment["transactionId"], reason="All of it")
    assert rest.payment["amount"] == 17.5
    with pytest.raises(ClientError) as refused:
        await php.credit(answer.payment["transactionId"], reason="More")
    assert refused.value.status == 400


async def test_payment_pages(php: PhpClient, php_shop: WebShop) -> None:
    """A page is made of a list of products, with everything that may be said of it or nothing, and shows itself."""
    plain = await php.generate_url_to_payment_page([sku(php_shop)], consumer=buyer("page"))
    fees = [{"type": "processing", "items": [{"geo": "ALL", "items": [{"paymentMethod": "ALL", "value": 1.5}]}]}]
    full = await php.generate_url_to_payment_page(
        [sku(php_shop), {"name": "ONE_TIME", "price": [], "url": URL, "xsell": "unchecked"}],
        consumer=buyer("page") | {"ip": "203.0.113.45"},
        metadata={"order": 7},
        emailOptions=True,
        fees=fees,
        template={"templateParameters": [], "language": "en", "layout": "default"},
        payment={"method": ["card"], "selected": "card", "secure": True, "test": True, "terminalMode": False,
                 "emulateCode": "0000", "mid": "123", "bin": "402400", "domain": "https://pay.example/"},
        ttl="3600",
    )  # fmt: skip
    assert plain["url"] != full["url"]
    for link in (plain, full):
        shown = await php.http.get(link["url"])
        assert (shown.status_code, shown.headers["content-type"]) == (200, "text/html; charset=utf-8"), link
    assert await php.generate_url_to_payment_page(
        [sku(php_shop)], template={"templateParameters": []}, payment={"method": []}
    )


async def test_charge_backs(php: PhpClient, php_shop: WebShop) -> None:
    """A charge-back is told as an answer is, and has a link that shows the page on which it is repaid."""
    answer = await paid(php, php_shop, "charged-back")
    taken = await php_shop.post(f"/stage/chargeback/{answer.payment['transactionId']}", {"amount": 4.5})
    told = read_answer(taken.json()).payment
    assert (told["mode"], told["status"], told["amount"]) == ("chargebackFirst", "chargeback", 4.5)
    link = await php.get_chargeback_id_repaid_link(told["transactionId"])
    assert (await php.http.get(link["url"])).status_code == 200
    with pytest.raises(ClientError) as missing:
        await php.get_chargeback_id_repaid_link(answer.payment["transactionId"])
    assert missing.value.status == 404


async def test_sites(php: PhpClient) -> None:
    """A site is made, read and changed; what is not sent stays."""
    site = await php.create_site(
        name="php.shop.example", ipn_url=IPN_URL, external_id="php-site", redirect_url=REDIRECT_URL
    )
    assert await php.get_site(site["id"]) == site
    changed = await php.update_site(site["id"], redirectUrl="https://php.shop.example/thanks")
    assert (changed["redirectUrl"], changed["ipnUrl"]) == ("https://php.shop.example/thanks", IPN_URL)
    assert await php.update_site(site["id"]) == changed | {"updatedAt": (await php.get_site(site["id"]))["updatedAt"]}


async def test_products(php: PhpClient, php_shop: WebShop) -> None:
    """A product has a price as a number, or a list of charges; it is sold by the name that it got."""
    site_id = str(php_shop.merchant.site_id)
    one = await php.create_product(site_id=site_id, title="One", type_="one-time", amount=15, currency="USD")
    assert (one["type"], one["price"], one["externalId"]) == ("one-time", 15.0, "")
    schedule = [
        {"offset": "0d", "amount": 1, "currency": "EUR", "repeat": False},
        {"offset": "30d", "amount": 29.99, "currency": "EUR", "repeat": True},
    ]
    many = await php.create_product(
        site_id=site_id, title="Many", type_="subscription", price=schedule, externalId="php-many"
    )
    assert [(price["amount"], price["offset"], price["repeat"]) for price in many["price"]] == [
        (1.0, "0d", False),
        (29.99, "30d", True),
    ]
    assert await php.get_product(many["name"]) == many
    changed = await php.update_product(
        one["name"], site_id=site_id, title="Two", type_="one-time", amount=16.5, currency="USD"
    )
    assert (changed["title"], changed["price"]) == ("Two", 16.5)
    answer = await php.pay(card_source(), {"name": one["name"], "price": []}, consumer=buyer("products"), url=URL)
    assert answer.payment["amount"] == 16.5


async def test_consumers(php: PhpClient, php_shop: WebShop) -> None:
    """A consumer is made, read and put into a group, or sent nothing to change; the blacklist refuses payments."""
    consumer = await php.create_consumer(
        external_id="user-made", username="jane", email="jane@shop.example", birthday="1990-01-31", country="USA",
        groupId="4",
    )  # fmt: skip
    assert (consumer["externalId"], consumer["groupId"], consumer["blocked"]) == ("user-made", "4", False)
    assert await php.get_consumer(consumer["id"]) == consumer
    assert (await php.change_consumer_group(consumer["id"], "2"))["blocked"] is True
    answer = await php.pay(card_source(), sku(php_shop), consumer=buyer("made"), url=URL)
    assert (answer.payment["status"], answer.payment["code"]) == ("fail", "1001")
    assert (await php.change_consumer_group(consumer["id"]))["groupId"] == "2"


async def test_payment_accounts(php: PhpClient, php_shop: WebShop) -> None:
    """A consumer's cards are a list; a disabled one is refused until it is enabled again."""
    answer = await paid(php, php_shop, "accounts")
    [account] = await php.list_payment_account_ids_by_consumer_id(answer.consumer["id"])
    source = {"type": "paymentAccountId", "paymentAccountId": account["paymentAccountId"]}
    await php.disable_payment_account_for_quick_sale(account["paymentAccountId"])
    refused = await php.pay(source, sku(php_shop), consumer=buyer("accounts"), url=URL)
    assert refused.payment["code"] == "1020"
    [account] = await php.list_payment_account_ids_by_consumer_id(answer.consumer["id"])
    assert account["disabled"] is True
    await php.enable_payment_account_for_quick_sale(account["paymentAccountId"])
    assert (await php.pay(source, sku(php_shop), consumer=buyer("accounts"), url=URL)).payment["code"] == "0"
    made = await php.create_consumer(external_id="user-without-card")
    assert await php.list_payment_account_ids_by_consumer_id(made["id"]) == []


async def test_test_payment_data(php: PhpClient, php_shop: WebShop) -> None:
    """A test card is made, charged, changed in every way, listed and deleted."""
    data = await php.create_test_payment_data(
        type_="visa", allowedIps=["203.0.113.45"], emulate3ds=False, balance=100, currency="USD"
    )
    assert (data["balance"], data["transactions"], data["expired"]) == (100.0, 0, False)
    answer = await php.pay(
        card_source(number=data["number"], emulateCode="0000"), sku(php_shop), consumer=buyer("testing"), url=URL
    )
    assert answer.payment["status"] == "success"
    assert await php.create_test_payment_data(type_="sepa")
    one = data["id"]
    assert (await php.update_balance(one, 12.34))["balance"] == 12.34
    assert (await php.update_allowed_ips(one, ["203.0.113.1", "2001:db8::1"]))["allowedIps"][0] == "203.0.113.1"
    for switch, body, name, value in (
        ("block", None, "blocked", True),
        ("unblock", None, "blocked", False),
        ("emulate3ds", {"emulate3ds": False}, "emulate3ds", True),
        ("notEmulate3ds", {"emulate3ds": True}, "emulate3ds", False),
    ):
        assert (await php.switch_test_payment_data(one, switch, body))[name] is value
    listed, page = await php.get_list_of_test_payment_data(limit=10, type="visa")
    assert [each["id"] for each in listed] == [one]
    assert page["total"] == 1
    await php.delete_test_payment_data_by_id(one)
    with pytest.raises(ClientError) as gone:
        await php.get_test_payment_data_by_id(one)
    assert gone.value.status == 404
    assert await php.get_list_of_test_payment_data(type="visa") == ([], page | {"total": 0, "limit": 100})


async def test_lists_of_the_rest(php: PhpClient) -> None:
    """Addresses are strings; a rate is one object, and all of them a list."""
    assert isinstance(await php.get_list_of_external_ips(), list)
    rates = {rate["iso3"]: rate for rate in await php.get_currency_exchange_rates()}
    assert rates["EUR"]["usdPerUnit"] > 0
    assert await php.get_exchange_rate_by_iso3("EUR") == rates["EUR"]


async def test_code_verification(php: PhpClient, php_shop: WebShop) -> None:
    """A phone goes into the path as it is written, spaces as escapes; channels, sending and checking are objects."""
    assert "channels" in await php.get_available_channels_of_code_verification(PHONE)
    await php.send_message_with_verification_code("sms", phone=PHONE, **{"from": "Shop"})
    sender = php_shop.gateway.phones.sender
    assert isinstance(sender, RecordingSender)
    code = re.match(r"\d{6}", sender.shown(php_shop.merchant.merchant_id)[0].message.text)
    assert code is not None
    assert (await php.check_verification_code(PHONE, code[0]))["verified"] is True
    assert b"/antifraud/verification/+1%20(500)%20555.0006" in php.log[-1].request.url.raw_path


async def test_callbacks(php: PhpClient, php_shop: WebShop) -> None:
    """A callback is read as an answer is, and its signature is the plain digest of secret, transaction and status."""
    answer = await paid(php, php_shop, "told")
    transaction_id = answer.payment["transactionId"]
    [row] = await php_shop.fetch("select body from event where transaction_id = $1", int(transaction_id))
    told = read_answer(json.loads(row["body"]))
    assert told.payment == answer.payment
    assert told.metadata == answer.metadata
    signature = hashlib.sha256(b"test-key" + b"12345" + b"success").hexdigest()
    assert signature == "be626daddddeef24bbceb8bb76bd34f5fdf8c9258332828ebd07dfb1b5bbd43b"


async def test_errors(php: PhpClient, php_shop: WebShop) -> None:
    """What is refused is an object with a text and an object of errors, also where there are none."""
    with pytest.raises(ClientError) as faulty:
        await php.pay(card_source(number="4024007179366349"), sku(php_shop, -1.0), consumer=[], url=[])
    assert faulty.value.status == 400
    assert {"paymentSource.number", "consumer.ip"} <= faulty.value.errors.keys()
    for call in (php.get_site("983700000"), php.get_product("NOTHING"), php.get_consumer("cnobody")):
        with pytest.raises(ClientError) as missing:
            await call
        assert (missing.value.status, missing.value.errors) == (404, {})
    stranger = PhpClient(php_shop.client, "th_stage_nobody")
    with pytest.raises(ClientError) as unknown:
        await stranger.get_currency_exchange_rates()
    assert (unknown.value.status, unknown.value.errors) == (401, {})


async def test_without_request_ids(php_shop: WebShop) -> None:
    """A caller who sets no request ids gets the same answers."""
    php = PhpClient(php_shop.client, php_shop.merchant.key, sends_request_ids=False)
    await paid(php, php_shop, "anonymous")
    assert "x-request-id" not in php.log[-1].request.headers
    await php.create_consumer(external_id="user-anonymous-2")
