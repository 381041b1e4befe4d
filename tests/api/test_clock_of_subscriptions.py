"""What a merchant's clock takes along besides its payments: renewals and retries, cards that expire, charge-backs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.subscribing import MONTHLY, Subscriber, sign_up
from tests.support.webshop import WebShop, price


async def advance(shop: WebShop, by: str) -> None:
    """Advance the clock."""
    answer = await shop.post("/stage/clock", {"advance": by})
    assert answer.status_code == 200, answer.text


async def history(shop: WebShop) -> list[tuple[Any, ...]]:
    """Return mode, status and day of each transaction, oldest first."""
    payments = [each["payment"] for each in reversed((await shop.get("/feed/transactions?limit=50")).json()["data"])]
    return [(each["mode"], each["status"], each["timestamp"]["dateTime"][:10]) for each in payments]


async def standing(subscriber: Subscriber) -> tuple[str, int]:
    """Return status and cycle."""
    content = await subscriber.get()
    return content["status"], content["cycle"]


async def test_a_year_of_renewals(shop: WebShop) -> None:
    """Each renewal comes at its own time, in its order, and its times are the merchant's."""
    monthly = (price(9.99), price(19.99, offset="1m", repeat=True))
    subscriber = await sign_up(shop, *monthly)
    await advance(shop, "1y")
    assert await standing(subscriber) == ("active", 12)
    days = [day for _, _, day in await history(shop)]
    assert days == sorted(set(days))
    assert len(days) == 13


@pytest.mark.parametrize(("name", "tries"), [("renewal_after_1", 2), ("renewal_after_2", 3), ("renewal_after_4", 5)])
async def test_retries_come_in_their_days(shop: WebShop, name: str, tries: int) -> None:
    """A card that declines the first tries is tried again after 1, 3, 5 and 7 days, and is active then."""
    subscriber = await sign_up(shop, *MONTHLY, name=name)
    await advance(shop, "30d")
    assert await standing(subscriber) == ("past_due", 0)
    await advance(shop, "7d")
    assert await standing(subscriber) == ("active", 1)
    statuses = [status for _, status, _ in await history(shop)]
    assert statuses == ["success", *["fail"] * (tries - 1), "success"]


async def test_a_card_that_expires(shop: WebShop) -> None:
    """Thirty days before a card expires its event is there, if its site asks for that or not."""
    soon = {"expirationMonth": "03", "expirationYear": f"{(datetime.now(UTC).year + 2) % 100:02}"}
    yearly = (price(9.99), price(19.99, offset="5y", repeat=True))
    source = {"type": "card", "number": "4111111111111111", "cvv": "123", **soon}
    answer = await shop.pay(shop.payment(source, sku=shop.sku(*yearly)))
    subscriber = Subscriber(shop, answer.json())
    assert await subscriber.events() == ["sale"]
    await advance(shop, "3y")
    assert await subscriber.events() == ["sale", "subscription.card_expiring"]


async def test_a_card_with_a_new_number(shop: WebShop) -> None:
    """A card that was replaced is charged under its new number, once the updater has told it."""
    subscriber = await sign_up(shop, *MONTHLY, name="renumbered")
    await advance(shop, "31d")
    assert await standing(subscriber) == ("active", 1)
    newest = (await shop.get("/feed/transactions?limit=1")).json()["data"][0]["payment"]
    assert newest["source"]["number"] == "400000****0002"


async def test_a_charge_back_on_the_third_day(shop: WebShop) -> None:
    """The card that is charged back is so three days later, by the merchant's time, once."""
    await sign_up(shop, *MONTHLY, name="charged_back")
    await advance(shop, "2d")
    assert [mode for mode, _, _ in await history(shop)] == ["sale"]
    await advance(shop, "2d")
    assert [(mode, status) for mode, status, _ in await history(shop)] == [
        ("sale", "success"),
        ("chargebackFirst", "chargeback"),
    ]
    await advance(shop, "5d")
    assert len(await history(shop)) == 2
