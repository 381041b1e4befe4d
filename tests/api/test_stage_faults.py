"""Faults on the way to the issuer, as a merchant asks for them, and the issuer's journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.support.issuing import number_of
from tests.support.webshop import WebShop, card, clone_database, open_webshop, price

PATH = "/stage/faults"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(postgres_dsn: str, template: str) -> AsyncIterator[WebShop]:
    """One application for the tests of this module."""
    async with clone_database(postgres_dsn, template) as dsn, open_webshop(dsn) as shop:
        yield shop


async def ask(served: WebShop, fault: str, **fields: Any) -> list[dict[str, Any]]:
    """Ask for a fault, and return what waits."""
    answer = await served.post(PATH, {"fault": fault} | fields)
    assert answer.status_code == 201, answer.text
    waiting: list[dict[str, Any]] = answer.json()["faults"]
    return waiting


async def pay(served: WebShop, name: str = "visa", amount: Any = 10, key: str | None = None) -> dict[str, Any]:
    """Pay with a published card, and return the payment as it is answered."""
    source = {"type": "card"} | card(name)
    body = served.payment(source, sku=served.sku(price(amount), siteId=None, name="ONE_TIME"))
    answer = await served.pay(body, key=key)
    assert answer.status_code == 201, answer.text
    payment: dict[str, Any] = answer.json()["payment"]
    return payment


async def read_newest(served: WebShop, key: str | None = None) -> dict[str, Any]:
    """Return the newest entry of the journal."""
    answer = await served.get("/stage/journal?limit=1", key=key)
    assert answer.status_code == 200
    entry: dict[str, Any] = answer.json()["entries"][0]
    return entry


async def test_one_response_is_lost(served: WebShop) -> None:
    """The next message is approved and its answer lost; the one after it is not."""
    assert await ask(served, "dropAfter") == [{"fault": "dropAfter", "calls": 1}]
    assert (await pay(served))["status"] == "pending"
    entry = await read_newest(served)
    assert (entry["approved"], entry["kind"], entry["amount"]) == (True, "sale", {"minor": 1000, "currency": "USD"})
    assert (await pay(served))["status"] == "success"


async def test_dropped_message_is_not_in_the_journal(served: WebShop) -> None:
    """The next message is not in the journal."""
    before = await read_newest(served)
    await ask(served, "dropBefore")
    assert (await pay(served))["status"] == "pending"
    assert await read_newest(served) == before


async def test_doubled_and_late_messages_have_one_effect(served: WebShop) -> None:
    """Doubled and late messages have their effect once, and are answered."""
    await ask(served, "duplicate")
    assert await ask(served, "latency", seconds=0) == [
        {"fault": "duplicate", "calls": 1},
        {"fault": "latency", "calls": 1, "seconds": 0},
    ]
    assert (await pay(served))["status"] == "success"
    assert (await read_newest(served))["deliveries"] == 2
    assert (await pay(served))["status"] == "success"
    assert (await read_newest(served))["deliveries"] == 1


async def test_fault_applies_only_to_matching_messages(served: WebShop) -> None:
    """A fault meets its card and its amount only, as often as it was requested, and comes before the card's own."""
    number = number_of("mastercard")
    waiting = await ask(served, "dropAfter", card=f"{number[:4]} {number[4:10]}-{number[10:]}", amount=12.5, calls=2)
    assert waiting == [
        {"fault": "dropAfter", "calls": 2, "card": "555555****4444", "amount": 12.5, "currency": "USD"},
    ]
    assert (await pay(served))["status"] == "success"
    assert (await pay(served, "mastercard", 12.51))["status"] == "success"
    assert [(await pay(served, "mastercard", 12.5))["status"] for _ in range(3)] == ["pending", "pending", "success"]
    assert (await served.get(PATH)).json() == {"faults": []}
    await ask(served, "duplicate", card=number_of("never_arrives"))
    assert (await pay(served, "never_arrives"))["status"] == "success"


async def test_faults_belong_to_one_merchant(served: WebShop) -> None:
    """Another merchant neither meets nor sees them, nor the payments in the journal; they can be taken back."""
    await ask(served, "dropBefore", calls=5)
    assert (await served.get(PATH, key=served.other.key)).json() == {"faults": []}
    assert (await pay(served, key=served.other.key))["status"] == "success"
    other = await read_newest(served, key=served.other.key)
    assert other != await read_newest(served)
    assert (await served.client.delete(PATH, headers={"Authorization": served.merchant.key})).content == b""
    assert (await pay(served))["status"] == "success"
    journal = (await served.get("/stage/journal")).json()["entries"]
    assert other["reference"] not in [entry["reference"] for entry in journal]
    assert (await served.get("/stage/journal", key="")).status_code == 401
    assert (await served.post(PATH, {"fault": "latency"}, key="")).status_code == 401


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ([], {"fault"}),
        ({"fault": "earthquake", "calls": 0, "seconds": 61}, {"fault", "calls", "seconds"}),
        ({"fault": "latency", "calls": 1.5, "card": "4111111111111112"}, {"calls", "card"}),
        ({"fault": "latency", "calls": 1001, "seconds": -1, "card": {}}, {"calls", "seconds", "card"}),
        ({"fault": "latency", "amount": 0.001}, {"amount"}),
        ({"fault": "latency", "amount": -1, "seconds": True}, {"amount", "seconds"}),
        ({"fault": "latency", "amount": "1"}, {"amount"}),
        ({"fault": "latency", "amount": 1, "currency": "XYZ"}, {"currency"}),
    ],
)
async def test_faulty_fault_is_named(served: WebShop, body: Any, fields: set[str]) -> None:
    """A fault that makes no sense is refused with all that is wrong about it, and without the card's number."""
    answer = await served.post(PATH, body)

    assert answer.status_code == 400, answer.text
    assert set(answer.json()["errors"]) == fields
    assert "4111111111111112" not in answer.text
    assert (await served.get(PATH)).json() == {"faults": []}


@pytest.mark.parametrize("content", [b"{", b"[1]", b'{"calls": NaN}', b'"latency"'])
async def test_body_that_is_no_object_is_rejected(served: WebShop, content: bytes) -> None:
    """What is no JSON object is refused."""
    assert (await served.post(PATH, content=content)).status_code == 400


async def test_faults_and_journal_are_bounded(served: WebShop) -> None:
    """At most a hundred wait, and the journal gives at most five hundred entries."""
    for _ in range(100):
        await ask(served, "latency", amount=999, seconds=0)
    answer = await served.post(PATH, {"fault": "latency"})
    assert (answer.status_code, set(answer.json()["errors"])) == (400, {"fault"})
    await served.client.delete(PATH, headers={"Authorization": served.merchant.key})
    for limit in ("0", "501", "-1", "x"):
        assert (await served.get(f"/stage/journal?limit={limit}")).status_code == 400


async def test_not_in_live(postgres_dsn: str, template: str) -> None:
    """In live there is none of it."""
    async with clone_database(postgres_dsn, template) as dsn, open_webshop(dsn, environment="live") as live:
        assert (await live.post(PATH, {"fault": "latency"})).status_code == 404
        assert (await live.get("/stage/journal")).status_code == 404
