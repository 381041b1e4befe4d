"""A clock that is moved while its merchant goes on working."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.support.listener import Listener
from tests.support.webshop import REDIRECT_URL, WebShop, price

DAYS = 6
DAILY = (price(1, offset="0d"), price(1, offset="1d", repeat=True))
MONTHLY = (price(1, offset="0d"), price(2, offset="30d", repeat=True))


@pytest.fixture
def listener() -> Iterator[Listener]:
    """The merchant's server."""
    listening = Listener(secret="secret")
    yield listening
    listening.close()


async def test_a_clock_moves_while_its_merchant_works(shop: WebShop, listener: Listener) -> None:
    """Days pass in one call while the merchant pays, signs up, and changes its subscriptions without a pause."""
    url = {"ipnUrl": listener.url, "redirectUrl": REDIRECT_URL}
    daily = (await shop.pay(shop.payment(sku=shop.sku(*DAILY), url=url))).json()["subscription"]["id"]
    is_over = asyncio.Event()

    async def work() -> None:
        while not is_over.is_set():
            paid = (await shop.pay(shop.payment(sku=shop.sku(*MONTHLY), url=url))).json()
            path = f"/subscription/{paid['subscription']['id']}"
            await shop.put(path, {"price": [price(3, offset="30d", repeat=True)]})
            await shop.put(f"{path}/cancel", {"keepActiveUntilNextRebill": True})
            await shop.put(f"{path}/recover", {})

    async def change() -> None:
        while not is_over.is_set():
            await shop.put(f"/subscription/{daily}", {"price": [price(1, offset="1d", repeat=True)]})
            await shop.put(f"/subscription/{daily}/cancel", {"cancelDate": "2999-01-01 00:00:00"})
            await shop.put(f"/subscription/{daily}/recover", {})

    working = [asyncio.create_task(each) for each in (work(), work(), change())]
    try:
        moved = await asyncio.wait_for(shop.post("/stage/clock", {"advance": f"{DAYS}d"}), timeout=150)
    finally:
        is_over.set()
        await asyncio.gather(*working)
    assert moved.status_code == 200, moved.text
    assert moved.json()["advanced"].startswith(f"P{DAYS}D")
    # A renewal that changes overtake waits for the next day, and one missed charge a day is made up for.
    assert (await shop.get(f"/subscription/{daily}")).json()["cycle"] >= DAYS // 2
