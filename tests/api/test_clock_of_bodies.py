"""Times in bodies are the merchant's, and what is due at a shown second is done at it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.webshop import WebShop, card, price

DAY = timedelta(days=1)
CALENDAR = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d")
MONTHLY = price(19.99, offset="30d", repeat=True)
#: Real time by design, and what a merchant said itself.
REAL = {"realTime", "timezone"}


def find_times(content: Any, path: str = "") -> Iterator[tuple[str, datetime]]:
    """Yield each time that stands in a body, with its path."""
    if isinstance(content, dict):
        for name, child in content.items():
            if name not in REAL:
                yield from find_times(child, f"{path}.{name}")
    elif isinstance(content, list):
        for number, child in enumerate(content):
            yield from find_times(child, f"{path}.{number}")
    elif isinstance(content, str) and CALENDAR.match(content):
        yield path, datetime.fromisoformat(content[:19]).replace(tzinfo=UTC)
    elif path.endswith(("unixTime", "expireAt")):
        yield path, datetime.fromtimestamp(int(content), UTC)


async def read_clock(shop: WebShop) -> datetime:
    """Return the merchant's time."""
    return datetime.fromisoformat((await shop.get("/stage/clock")).json()["now"])


async def advance(shop: WebShop, **asked: str) -> dict[str, Any]:
    """Move the clock."""
    answer = await shop.post("/stage/clock", asked)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


async def sign_up(shop: WebShop, *prices: Any) -> dict[str, Any]:
    """Sign up with a card, and return the answer."""
    answer = await shop.pay(shop.payment(sku=shop.sku(*prices)))
    assert answer.status_code == 201, answer.text
    content: dict[str, Any] = answer.json()
    return content


async def test_no_time_in_a_body_is_behind_the_clock(shop: WebShop) -> None:
    """After the clock was moved, all that is made has the merchant's time in every body that tells of it."""
    await advance(shop, advance="400d")
    now = await read_clock(shop)
    paid = await sign_up(shop, price(9.99, offset="0d"), MONTHLY)
    transaction_id, order_id = paid["payment"]["transactionId"], paid["payment"]["orderId"]
    made = (await shop.post("/testPaymentData", {"type": "visa"})).json()
    bodies = {
        "payment": paid,
        "testPaymentData": made,
        "changed": (await shop.put(f"/testPaymentData/{made['id']}/balance", {"balance": 5})).json(),
        "code": (await shop.post("/antifraud/verification/sms", {"phone": "+14155552671"})).json(),
    }
    for path in (
        f"/payment/{transaction_id}",
        f"/payment/{transaction_id}/timeline",
        f"/transaction/{transaction_id}/ipn",
        f"/order/{order_id}/ipn",
        f"/subscription/{paid['subscription']['id']}",
        f"/subscription/{paid['subscription']['id']}/upcoming",
        f"/testPaymentData/{made['id']}",
        "/testPaymentData",
        "/feed/transactions",
        "/events?after=0",
        "/stage/clock",
    ):
        bodies[path] = (await shop.get(path)).json()
    times = {name: list(find_times(content)) for name, content in bodies.items()}
    behind = [(name, path, at) for name, found in times.items() for path, at in found if at < now - DAY]
    assert behind == []
    assert times["testPaymentData"]


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "next"])
async def test_what_is_due_at_a_shown_second_is_done_at_it(shop: WebShop, form: str) -> None:
    """A clock that is moved to the shown date of a renewal, or of what falls due next, renews."""
    paid = await sign_up(shop, price(9.99, offset="0d"), MONTHLY)
    path = f"/subscription/{paid['subscription']['id']}"
    shown = datetime.fromisoformat(paid["subscription"]["renewalDate"]).strftime(form)
    if form == "next":
        due = (await shop.get("/stage/clock")).json()["next"]
        shown = next(each["at"] for each in due if each["kind"] == "subscription")
    await advance(shop, until=shown)
    assert (await shop.get(path)).json()["cycle"] == 1


async def test_a_cancellation_takes_effect_at_its_shown_second(shop: WebShop) -> None:
    """A clock that is moved to the shown `cancelDate` ends the subscription, also where it was sent with a fraction."""
    paid = await sign_up(shop, price(9.99, offset="0d"), MONTHLY)
    path = f"/subscription/{paid['subscription']['id']}"
    at = await read_clock(shop) + 5 * DAY
    planned = (await shop.put(f"{path}/cancel", {"cancelDate": at.isoformat(timespec="milliseconds")})).json()
    await advance(shop, until=planned["cancelDate"].replace(" ", "T") + "Z")
    assert (await shop.get(path)).json()["status"] == "canceled"


async def test_a_retry_and_what_waits_are_done_at_their_shown_seconds(shop: WebShop) -> None:
    """A clock that is moved to the shown `nextTry` tries again, and to the shown `waitsUntil` ends the wait."""
    made = (await shop.post("/testPaymentData", {"type": "visa"})).json()
    body = shop.payment({"type": "card"} | card(number=made["number"]), sku=shop.sku(price(1, offset="0d"), MONTHLY))
    paid = (await shop.pay(body)).json()
    path = f"/subscription/{paid['subscription']['id']}"
    await shop.put(f"/testPaymentData/{made['id']}/balance", {"balance": 0})
    await advance(shop, until=paid["subscription"]["renewalDate"].replace(" ", "T") + "Z")
    for _ in range(3):
        (upcoming, *_) = (await shop.get(f"{path}/upcoming")).json()["data"]
        before = (await shop.get("/feed/transactions")).json()["data"]
        await advance(shop, until=upcoming["nextTry"].replace(" ", "T") + "Z")
        assert len((await shop.get("/feed/transactions")).json()["data"]) == len(before) + 1
