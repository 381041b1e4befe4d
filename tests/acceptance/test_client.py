"""The Python client and the listeners of the examples, against a gateway as `make run` starts it."""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.gateways import RunningGateway
from tests.support.processes import Node, build_environment, find_free_port, wait_until

from tollhouse.client import ApiError, AsyncClient, Client, NotAnswered, Retries, account, card, consumer, price

EXAMPLES = Path(__file__).parents[2] / "examples"
CARD = card("4024007179366348", month="12", year="30", cvv="009", holder="Jane Smith")
BUYER = {"externalId": "client-test", "firstName": "Jane", "lastName": "Smith", "ip": "203.0.113.45"}


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[Client]:
    """A client of the demo's merchant."""
    with Client(gateway.url, gateway.demo["apiKey"]) as client:
        yield client


def sku(amount: str = "19.99") -> dict[str, object]:
    """What is sold on the demo's site."""
    return {"siteId": "983759353", "title": "Socks", "price": [price(amount, "USD")]}


def test_paying_in_every_way(client: Client) -> None:
    """A card, a token, the stored card and the consumer pay, one after the other; amounts stay exact."""
    first = client.pay(source=CARD, sku=sku("20.10"), consumer=BUYER, metadata={"cart": 7})
    assert first.payment.is_approved
    assert (first.payment.amount, first.metadata) == (Decimal("20.10"), {"cart": 7})
    assert first.payment.source is not None
    stored = client.pay(
        source=account(first.payment.source.payment_account_id), sku=sku(), consumer={"ip": "203.0.113.45"}
    )
    again = client.pay(source=consumer(first.consumer.id), sku=sku(), consumer={"ip": "203.0.113.45"})
    assert {stored.consumer.id, again.consumer.id} == {first.consumer.id}
    assert client.payment(again.payment.transaction_id).payment.is_approved


def test_one_request_id_is_one_payment(client: Client) -> None:
    """The same call under the same id has the same answer, and nothing is charged again."""
    pay = [client.pay(source=CARD, sku=sku(), consumer=BUYER, request_id="client-once") for _ in range(2)]
    assert pay[0] == pay[1]


def test_a_refusal_is_an_error_and_a_decline_is_not(client: Client) -> None:
    """What the gateway refuses raises with every faulty field; what the bank declines is an answer."""
    with pytest.raises(ApiError) as caught:
        client.pay(source=CARD, sku={"siteId": "1"}, consumer={})
    assert caught.value.status == 400
    assert {"consumer.ip", "sku.siteId"} <= set(caught.value.errors)
    broke = card("4000000050510009", month="12", year="30", cvv="009")
    declined = client.pay(source=broke, sku=sku(), consumer=BUYER)
    assert (declined.payment.status, declined.payment.code) == ("fail", "5051")


def test_nobody_there_is_told_with_the_id() -> None:
    """A gateway that does not answer, however often it is asked, ends in an error that bears the request id."""
    retries = Retries(attempts=2, first_pause_seconds=0.01)
    with (
        Client(f"http://127.0.0.1:{find_free_port()}", retries=retries) as lonely,
        pytest.raises(NotAnswered) as caught,
    ):
        lonely.pay(source=CARD, sku=sku(), consumer=BUYER, request_id="lost-1")
    assert caught.value.request_id == "lost-1"


def test_the_other_client_has_the_same_calls(gateway: RunningGateway) -> None:
    """What one client waits for, the other awaits; many at once share its connections."""

    async def pay_often() -> list[str]:
        async with AsyncClient(gateway.url, gateway.demo["apiKey"]) as client:
            token = await client.tokenize("4024007179366348", month="12", year="30", cvv="009")
            assert token.expire_at > time.time()
            answers = await asyncio.gather(
                *(client.pay(source=CARD, sku=sku(f"{n}.00"), consumer=BUYER) for n in range(1, 5))
            )
            return [answer.payment.status for answer in answers]

    assert asyncio.run(pay_often()) == ["success"] * 4


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (["uvicorn", "--app-dir", str(EXAMPLES), "listener_asgi:app", "--log-level", "warning"], "/"),
        (["flask", "--app", str(EXAMPLES / "listener_flask.py"), "run"], "/ipn"),
    ],
    ids=["asgi", "flask"],
)
def test_the_listeners_of_the_examples(
    gateway: RunningGateway, client: Client, tmp_path: Path, command: list[str], path: str
) -> None:
    """Each example books a callback of the gateway's once, and refuses a forged one."""
    with listening(command, gateway.demo["ipnSecret"], tmp_path / "out") as (url, output):
        paid = client.pay(source=CARD, sku=sku(), consumer=BUYER, url={"ipnUrl": url + path})
        line = f"sale {paid.payment.order_id} success 19.99"
        wait_until(lambda: line in output.read_text(), f"{line!r} in what the listener printed")
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(url + path, b'{"payment": {}}')
        with caught.value as rejection:
            assert rejection.code == 400


@contextmanager
def listening(command: list[str], secret: str, output: Path) -> Iterator[tuple[str, Path]]:
    """Run a listener in a process of its own and return its address and what it prints."""
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    node = Node(
        "the listener",
        [sys.executable, "-m", *command, "--port", str(port)],
        build_environment(IPN_SECRET=secret),
        output,
        is_ready=lambda: is_answering(url),
    )
    try:
        node.start()
        yield url, output
    finally:
        node.close()


def post(url: str, body: bytes) -> None:
    """Post something."""
    urllib.request.urlopen(url, data=body, timeout=5).close()  # noqa: S310 - http, as just written


def is_answering(url: str) -> bool:
    """Tell whether anybody answers there, whatever they say."""
    try:
        post(url, b"")
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


def test_a_subscription(client: Client) -> None:
    """A subscription is previewed, looked up, changed, given another card, ended and taken back; amounts stay exact."""
    monthly = [price("0.10", "USD"), price("20.10", "USD", offset="1m", repeat=True)]
    previewed = client.preview_subscription(price=monthly, limit=2)
    assert (previewed.amount, [charge.amount for charge in previewed.data]) == (Decimal("0.10"), [Decimal("20.10")] * 2)
    begun = client.pay(source=CARD, sku=sku() | {"price": monthly}, consumer=BUYER).subscription
    assert begun is not None
    assert client.subscription(begun.id) == begun
    assert client.change_subscription(begun.id, price=[price("5.05", "USD", offset="1m", repeat=True)]) == begun
    [charge] = client.upcoming(begun.id, limit=1).data
    assert (charge.date, charge.amount, charge.next_try) == (begun.renewal_date, Decimal("5.05"), None)
    changed = client.change_subscription_account(begun.id, source=card("4111111111111111", month="12", year="30"))
    assert (changed.payment.is_approved, changed.subscription) == (True, begun)
    assert client.cancel_subscription(begun.id, at_next_rebill=True).cancel_date == begun.renewal_date
    assert client.cancel_subscription(begun.id, reason="enough", send_email=False).status == "canceled"
    assert client.recover_subscription(begun.id) == begun
