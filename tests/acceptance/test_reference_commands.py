"""Every command of the page `/docs`, copied from the served page and run by a shell against the gateway it names."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from tests.support.documents import run_shell
from tests.support.gateways import RunningGateway, request

from tollhouse.client import Client, card, price

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.gateways import Gateways

    from tollhouse.client.answers import PaymentResponse

OPERATION = re.compile(r'<section id="([\w-]+)" class="part">(.*?)</section>', re.DOTALL)
TITLED = re.compile(r"(?:<summary>([^<]*)</summary>)?<pre[^>]*><code>(.*?)</code></pre>", re.DOTALL)
STATUS_OPTION = "--silent --show-error --write-out '\n%{http_code}'"
CALLBACK_SECONDS = 30.0
CARD = card("4024007179366348", month="12", year="30", cvv="009", holder="Jane Smith")
#: A phone code that somebody was sent.
SENT_CODE = re.compile(r"([0-9]{6}) is your code")


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the page, the operation that it stands at, and the status that the page promises."""

    operation: str
    title: str
    status: int
    text: str


@dataclass(slots=True)
class Outcome:
    """What a command was answered, with the things that it was about by the ids of the examples."""

    shop: Shop
    title: str
    body: Any
    things: dict[str, str]

    def read(self, path: str) -> Any:
        """Read something at the gateway, with each id of an example in its place."""
        return self.shop.read(fill(path, self.things))

    @property
    def only(self) -> str:
        """The thing that the command was about."""
        [thing] = self.things.values()
        return thing


@dataclass(slots=True)
class Shop:
    """A merchant who tries the page out, and has what the examples speak of."""

    gateway: RunningGateway
    client: Client
    made: list[PaymentResponse] = field(default_factory=list)

    def pay(self, *, mode: str = "sale", repeats: bool = False, external_id: str = "") -> PaymentResponse:
        """Pay, by a new consumer unless one is named: at once, authorized only, or for a subscription."""
        prices = [price("19.99", "USD", offset="3d" if mode == "auth" else "0d")]
        prices += [price("19.99", "USD", offset="1m", repeat=True)] if repeats else []
        site_id = self.create_site({"delayedCapture": True}) if mode == "auth" else "983759353"
        consumer = {
            "externalId": external_id or str(uuid.uuid4()),
            "firstName": "Jane",
            "lastName": "Smith",
            "ip": "203.0.113.45",
        }
        paid = self.client.pay(
            source=CARD, sku={"siteId": site_id, "title": "Socks", "price": prices}, consumer=consumer
        )
        assert paid.payment.is_approved
        assert paid.payment.mode == mode
        self.made.append(paid)
        return paid

    def create_site(self, settings: dict[str, Any] | None = None) -> str:
        """Return a new site."""
        name = f"{uuid.uuid4()}.example"
        urls = {"ipn_url": "https://shop.example/ipn", "redirect_url": "https://shop.example/"}
        return self.client.create_site(name=name, external_id=name, settings=settings, **urls).id

    def tell_callback(self, paid: PaymentResponse) -> PaymentResponse:
        """Wait until the callback of a payment was sent."""
        path = f"{self.gateway.url}/transaction/{paid.payment.transaction_id}/ipn"
        give_up_at = time.monotonic() + CALLBACK_SECONDS
        while request(path, key=self.gateway.demo["apiKey"])[0] != 200:
            assert time.monotonic() < give_up_at
            time.sleep(0.05)
        return paid

    def post(self, path: str, body: Any) -> Any:
        """Send a request."""
        return request(f"{self.gateway.url}{path}", body=body, key=self.gateway.demo["apiKey"])[1]

    def read(self, path: str) -> Any:
        """Read something."""
        status, body = request(f"{self.gateway.url}{path}", key=self.gateway.demo["apiKey"])
        assert status == 200, (path, body)
        return body

    def charge_back(self) -> str:
        """Return a charge-back."""
        paid = self.pay()
        told = self.post(f"/stage/chargeback/{paid.payment.transaction_id}", {})
        transaction_id: str = told["payment"]["transactionId"]
        return transaction_id

    def ask_for_challenge(self) -> str:
        """Return an order that waits for its cardholder."""
        source = card("4000000000002503", month="12", year="30", cvv="009", holder="Jane Smith")
        sku = {"siteId": "983759353", "title": "Socks", "price": [price("19.99", "USD", offset="0d")]}
        consumer = {"id": str(uuid.uuid4()), "firstName": "Jane", "lastName": "Smith", "ip": "203.0.113.45"}
        asked = self.client.pay(source={**source, "3ds": True}, sku=sku, consumer=consumer)
        assert asked.payment.action == "redirect"
        return asked.payment.order_id

    def send_code(self) -> str:
        """Have a code sent to the phone of the examples, and read it where stage shows messages."""
        self.client.send_verification("sms", phone="+15005550006")
        with urlopen(f"{self.gateway.url}/stage/inbox", timeout=10) as page:  # noqa: S310 - our own address
            found = SENT_CODE.search(page.read().decode())
        assert found is not None
        return found[1]

    def find_thing(self, example: str, operation: str) -> str:
        """Return something of this shop's in place of the id of an example."""
        tell = self.tell_callback if operation.endswith("ipn") else lambda paid: paid
        mode = "auth" if operation in {"post-capture", "post-void"} else "sale"
        makers: dict[str, Callable[[], str]] = {
            "d86bdcbb-c369-46d9-a9d0-9c5010e3bfdb": lambda: (
                self.client.tokenize("4024007179366348", month="12", year="30", cvv="009", holder="Jane Smith").token
            ),
            "ae853c41-2d85-4c8a-9a61-3a5daeea311d": lambda: self.store_card(operation),
            "cmv4xq7k2t9d3hs6wpb5zn8rf": lambda: self.made[-1].consumer.id,
            "cmv4xq7k2t9d3hs6wpb5zn8rfa": lambda: self.pay().consumer.id,
            "c0n5q8w2x7z4r6t9v1b3d5f8h": lambda: self.pay().consumer.id,
            "10000042": lambda: tell(self.pay(mode=mode)).payment.transaction_id,
            "10000043": self.charge_back,
            "100000042": lambda: (
                self.ask_for_challenge() if operation == "answer-challenge" else tell(self.pay()).payment.order_id
            ),
            "50000001": lambda: self.subscribe(operation),
            "1028000000000042": lambda: (
                self.create_site() if "site" in operation else str(self.client.create_test_data(kind="visa").id)
            ),
            "SHOP_EXAMPLE_USD": lambda: (
                self.client.create_sku(
                    site_id="983759353", title="Book", kind="one-time", amount="9.99", currency="USD"
                ).name
            ),
            "123456": self.send_code,
        }
        return makers[example]()

    def store_card(self, operation: str) -> str:
        """Return a stored card, disabled if it is to be enabled."""
        of_subscriber = operation == "change-payment-account"
        paid = self.pay(external_id=self.made[-1].consumer.external_id or "" if of_subscriber else "")
        assert paid.payment.source is not None
        if operation == "enable-account":
            self.client.disable_account(paid.payment.source.payment_account_id)
        return paid.payment.source.payment_account_id

    def disabled(self) -> list[bool]:
        """Tell of each card of the newest consumer whether it is disabled."""
        return [one.disabled for one in self.client.payment_accounts(self.made[-1].consumer.id)]

    def has_test_card(self, number: str) -> bool:
        """Tell whether there is a test card."""
        return number in {str(one.id) for one in self.client.list_test_data().data}

    def shows(self, url: str) -> bool:
        """Tell whether a payment page takes a card."""
        with urlopen(url, timeout=10) as page:  # noqa: S310 - our own address
            return "cc-number" in page.read().decode()

    def subscribe(self, operation: str) -> str:
        """Return a subscription, ended if it is to be taken up again."""
        begun = self.pay(repeats=True).subscription
        assert begun is not None
        if operation == "recover-subscription":
            self.client.cancel_subscription(begun.id)
        return begun.id


EXAMPLE_IDS = (
    "50000001",
    "ae853c41-2d85-4c8a-9a61-3a5daeea311d",
    "d86bdcbb-c369-46d9-a9d0-9c5010e3bfdb",
    "cmv4xq7k2t9d3hs6wpb5zn8rfa",
    "cmv4xq7k2t9d3hs6wpb5zn8rf",
    "c0n5q8w2x7z4r6t9v1b3d5f8h",
    "10000042",
    "10000043",
    "100000042",
    "1028000000000042",
    "SHOP_EXAMPLE_USD",
    "123456",
)


def fill(text: str, things: dict[str, str]) -> str:
    """Put real things in the place of the ids of the examples."""
    for example, thing in things.items():
        text = re.sub(rf"\b{example}\b", thing, text)
    return text


def is_payment(mode: str, status: str = "success", **more: Any) -> Callable[[Outcome], bool]:
    """Check a payment's mode and status, and that it can be looked up."""

    def check(outcome: Outcome) -> bool:
        payment = outcome.body["payment"]
        stored = outcome.read(f"/payment/{payment['transactionId']}")["payment"]
        expected = {"mode": mode, "status": status, **more}
        return bool(payment.items() >= expected.items() and stored.items() >= expected.items())

    return check


def is_test_card(**expected: Any) -> Callable[[Outcome], bool]:
    """Check a test card as it is told and as it is then read."""

    def check(outcome: Outcome) -> bool:
        read = outcome.read(f"/testPaymentData/{outcome.body['id']}")
        return bool(outcome.body.items() >= expected.items() and read.items() >= expected.items())

    return check


def is_subscription(**expected: Any) -> Callable[[Outcome], bool]:
    """Check a subscription as it is told and as it is then read."""

    def check(outcome: Outcome) -> bool:
        read = outcome.read("/subscription/50000001")
        return bool(outcome.body.items() >= expected.items() and read.items() >= expected.items())

    return check


#: What each command does, by its operation; or by operation and title where the samples of one differ.
DOES: dict[str | tuple[str, str], Callable[[Outcome], object]] = {
    "post-tokenize": lambda one: uuid.UUID(one.body["token"]),
    "post-tokenize-account": lambda one: uuid.UUID(one.body["token"]),
    ("post-payment", "With a token"): is_payment("sale", amount=19.99),
    ("post-payment", "With a card"): is_payment("sale", "pending", action="redirect"),
    ("post-payment", "With a stored card"): is_payment("sale"),
    ("post-payment", "With the card of the last payment"): is_payment("sale"),
    "get-payment": lambda one: one.body["payment"]["transactionId"] == one.only,
    ("post-capture", "All of it"): is_payment("settle", amount=19.99),
    ("post-capture", "A part"): is_payment("settle", amount=9.99),
    "post-void": is_payment("void", action="credit"),
    ("post-credit", "All that is left"): is_payment("refund", action="credit", amount=19.99),
    ("post-credit", "A part"): is_payment("refund", action="credit", amount=9.99),
    "get-timeline": lambda one: one.body["orderId"] == one.shop.made[-1].payment.order_id,
    "post-payment-page": lambda one: one.shop.shows(one.body["url"]),
    "enable-account": lambda one: one.shop.disabled() == [False],
    "disable-account": lambda one: one.shop.disabled() == [True],
    "get-subscription": is_subscription(status="active"),
    "put-subscription": lambda one: one.read("/subscription/50000001/upcoming")["data"][0]["amount"] == 24.99,
    ("cancel-subscription", "At once"): is_subscription(status="canceled"),
    ("cancel-subscription", "When it would be charged again"): lambda one: (
        one.body["cancelDate"] == one.body["renewalDate"]
    ),
    ("cancel-subscription", "At a date"): is_subscription(status="active", cancelDate="2036-12-31 23:59:59"),
    "recover-subscription": is_subscription(status="active"),
    ("change-payment-account", "With a token"): is_payment("auth", "pending", action="redirect"),
    ("change-payment-account", "With a stored card"): is_payment("auth"),
    "list-upcoming-charges": lambda one: one.body["data"][0]["amount"] == 19.99,
    ("preview-subscription", "Prices"): lambda one: [each["amount"] for each in one.body["data"]] == [29.99, 29.99],
    ("preview-subscription", "A product"): lambda one: one.body["amount"] == 19.99,
    "get-repaid-link": lambda one: one.shop.shows(one.body["url"]),
    "post-consumer": lambda one: one.shop.read(f"/consumer/{one.body['id']}")["externalId"] == "user-00123",
    "get-consumer": lambda one: one.body["id"] == one.only,
    "put-consumer": lambda one: one.read("/consumer/c0n5q8w2x7z4r6t9v1b3d5f8h")["groupId"] == "2",
    "get-accounts": lambda one: [each["number"] for each in one.body] == ["402400****6348"],
    "post-site": lambda one: one.shop.read(f"/site/{one.body['id']}")["name"] == "shop.example.com",
    "get-site": lambda one: one.body["id"] == one.only,
    ("put-site", "Another address for callbacks"): lambda one: one.read("/site/1028000000000042")["ipnUrl"].endswith(
        "/callbacks"
    ),
    ("put-site", "Switch a site off"): lambda one: one.read("/site/1028000000000042")["status"] is False,
    ("post-sku", "Sold once"): lambda one: one.shop.read(f"/sku/{one.body['name']}")["title"] == "E-book",
    ("post-sku", "A subscription"): lambda one: one.shop.read(f"/sku/{one.body['name']}")["type"] == "subscription",
    "get-sku": lambda one: one.body["name"] == one.only,
    "put-sku": lambda one: "12.99" in json.dumps(one.read("/sku/SHOP_EXAMPLE_USD")),
    "post-transaction-ipn": lambda one: one.body["transactionId"] == one.only and one.body["deliveryNumber"] == 2,
    "post-events-resend": lambda one: (
        (one.body["skipped"], one.body["hasMore"]) == (0, False) and one.body["after"] > 0
    ),
    "get-transaction-ipn": lambda one: one.body["transactionId"] == one.only,
    "get-order-ipn": lambda one: one.body["orderId"] == one.only,
    "list-transactions": lambda one: one.body["data"][0]["payment"]["transactionId"],
    "list-events": lambda one: one.body["data"][0]["sequence"] == 1,
    ("post-legacy", "The consumer"): lambda one: one.shop.read(f"/consumer/{one.body['ustas']}"),
    ("post-legacy", "The payment methods"): lambda one: one.body["short_payment_methods"]["cc"]["name"] == "Card",
    "list-codes": lambda one: "5051" in json.dumps(one.body),
    "list-rates": lambda one: "EUR" in {each["iso3"] for each in one.body},
    "get-rate": lambda one: one.body["iso3"] == "EUR",
    "list-channels": lambda one: one.body["channels"] == ["sms"],
    "post-code": lambda one: one.body["channel"] == "sms",
    "get-verdict": lambda one: one.body["verified"] is True,
    "list-addresses": lambda one: isinstance(one.body, list),
    ("post-test-payment-data", "A card with 25 dollars"): is_test_card(type="visa", balance=25, currency="USD"),
    ("post-test-payment-data", "A card that asks for 3-D Secure"): is_test_card(type="mastercard", emulate3ds=True),
    "list-test-payment-data": lambda one: one.body["meta"]["total"] > 0,
    "get-test-payment-data": lambda one: str(one.body["id"]) == one.only,
    "delete-test-payment-data": lambda one: not one.shop.has_test_card(one.only),
    "put-test-balance": is_test_card(balance=100),
    "put-test-addresses": is_test_card(allowedIps=["203.0.113.45"]),
    "block-test-payment-data": is_test_card(blocked=True),
    "unblock-test-payment-data": is_test_card(blocked=False),
    "emulate-test-3ds": is_test_card(emulate3ds=True),
    "skip-test-3ds": is_test_card(emulate3ds=False),
    "answer-challenge": lambda one: one.body["payment"]["status"] == ("success" if "right" in one.title else "fail"),
    ("add-fault", "The next answer is lost"): lambda one: one.body["faults"][-1] == {"fault": "dropAfter", "calls": 1},
    ("add-fault", "Two late answers about one card"): lambda one: one.body["faults"][-1]["card"] == "402400****6348",
    "list-faults": lambda one: one.body == {"faults": []},
    "clear-faults": lambda one: one.shop.read("/stage/faults") == {"faults": []},
    "show-journal": lambda one: one.body["entries"][0]["deliveries"] == 1,
    ("post-chargeback", "All of it"): is_payment("chargebackFirst", "chargeback", amount=19.99),
    ("post-chargeback", "A part"): is_payment("chargebackFirst", "chargeback", amount=4.5),
    "post-clock": lambda one: one.body["advanced"].startswith("P") and one.shop.read("/stage/clock")["ahead"] != "PT0S",
    "get-clock": lambda one: one.body.keys() >= {"now", "ahead", "next"},
}


#: Operations after which others would not do what they say.
LAST = ("post-clock", "add-fault", "clear-faults")


@pytest.fixture
def shop(gateways: Gateways) -> Iterator[Shop]:
    """A shop at a gateway whose clock nobody else reads."""
    gateway = gateways.share("examples")
    with Client(gateway.url, gateway.demo["apiKey"]) as client:
        yield Shop(gateway, client)


def read_commands(page: str) -> list[Command]:
    """Return the commands of the page in their order."""
    commands = []
    for operation, section in OPERATION.findall(page):
        before, _, samples = section.partition("<h4>Request</h4>")
        status = re.search(r"<h4>Response</h4>\s*<p><code>(\d+)</code>", before)
        for title, code in TITLED.findall(samples.partition("<h4>Response")[0]):
            text = unescape(re.sub("<[^>]+>", "", code))
            if status is not None:
                commands.append(Command(operation, unescape(title), int(status[1]), text))
    return commands


def test_every_command_of_the_reference_does_what_it_says(shop: Shop, tmp_path: Path) -> None:
    """A copied command has the promised status and the effect that its heading names, with real ids and key in it."""
    with urlopen(f"{shop.gateway.url}/docs", timeout=10) as page:  # noqa: S310 - our own address
        commands = read_commands(page.read().decode())
    assert len({command.operation for command in commands}) > 50
    faults = []
    for command in sorted(commands, key=lambda one: LAST.index(one.operation) if one.operation in LAST else -1):
        does = DOES.get(command.operation) or DOES.get((command.operation, command.title))
        outcome, status = run_command(shop, command, directory=tmp_path)
        if does is None or status != command.status or not does(outcome):
            faults.append((command.operation, command.title, status, outcome.body))
    assert faults == []


def run_command(shop: Shop, command: Command, *, directory: Path) -> tuple[Outcome, int]:
    """Run a command as it was copied, with the key of this shop and things of this shop, and read its answer."""
    used = [example for example in EXAMPLE_IDS if re.search(rf"\b{example}\b", command.text)]
    things = {example: shop.find_thing(example, command.operation) for example in used}
    text = fill(command.text, things).replace("YOUR_API_KEY", shop.gateway.demo["apiKey"])
    [printed] = run_shell([f"{text} {STATUS_OPTION}"], directory=directory)
    body, _, status = printed.rstrip().rpartition("\n")
    return Outcome(shop, command.title, json.loads(body or "null"), things), int(status)
