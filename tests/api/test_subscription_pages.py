"""Subscriptions that begin on a payment page, and cards of subscriptions that their holders have to confirm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import pytest_asyncio
from tests.support.cardholders import REDIRECT_URL, Answer, World, open_world, payment_request
from tests.support.payment_pages import make_page
from tests.support.webshop import clone_database

from tollhouse.stage.demo import SITE_ID
from tollhouse.storage.database import Database

pytestmark = pytest.mark.asyncio(loop_scope="module")

MONTHLY = [
    {"amount": 9.99, "currency": "USD", "offset": "0d"},
    {"amount": 19.99, "currency": "USD", "offset": "30d", "repeat": True},
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(postgres_dsn: str, template: str) -> AsyncIterator[World]:
    """One gateway that is served, and its simulator, for all tests of this module."""
    async with clone_database(postgres_dsn, template) as dsn:
        database, simulated = [await Database.connect(dsn, schema=schema) for schema in ("gateway", "simulator")]
        async with open_world(database, simulated) as world:
            yield world
        await database.close()
        await simulated.close()


async def get(world: World, path: str) -> Answer:
    """Look something up."""
    return await world.get(path, Authorization=world.api_key)


async def test_a_sign_up_on_a_payment_page(world: World) -> None:
    """Who pays a schedule on a page has subscribed: it is told with the payment, looked up, and will be charged."""
    urls = {"ipnUrl": "http://127.0.0.1:9/ipn", "redirectUrl": REDIRECT_URL}
    page = await make_page(
        world,
        sku={"siteId": str(SITE_ID), "title": "Premium", "price": MONTHLY, "url": urls},
        consumer={"id": "user-7"},
    )
    await page.follow(await page.pay("decline_51"))
    back = await page.follow(await page.pay())
    result = dict(parse_qsl(urlsplit(back.headers["Location"]).query))
    payment = (await get(world, f"/payment/{result['cb_transaction_id']}")).json
    subscription = payment["subscription"]
    assert (subscription["status"], subscription["cycle"]) == ("active", 0)
    assert (await get(world, f"/subscription/{subscription['id']}")).json == subscription
    upcoming = (await get(world, f"/subscription/{subscription['id']}/upcoming?limit=1")).json["data"]
    assert (upcoming[0]["date"], upcoming[0]["amount"]) == (subscription["renewalDate"], 19.99)
    [row] = await world.fetch("select count(*) from subscription")
    assert row["count"] == 1


async def sign_up(world: World) -> Any:
    """Sign up without 3-D Secure, and return the subscription."""
    body = payment_request("visa", three_ds=False)
    body["sku"]["price"] = MONTHLY
    return (await world.call("/payment", body)).json["subscription"]


@pytest.mark.parametrize("result", ["pass", "fail"])
async def test_a_card_whose_holder_is_asked(world: World, result: str) -> None:
    """Until its holder confirms the new card, the old one stays; the answer has the subscription even so."""
    subscription = await sign_up(world)
    source = payment_request("challenge")["paymentSource"]
    before = await _account_of(world, subscription)
    answer = await world.put(f"/subscription/{subscription['id']}/paymentAccount", {"paymentSource": source})
    told = answer.json
    assert (answer.status, told["payment"]["status"], told["payment"]["action"]) == (200, "pending", "redirect")
    assert told["subscription"] == subscription
    assert await _account_of(world, subscription) == before
    await world.challenge(answer)
    await world.call(f"/stage/3ds/{told['payment']['orderId']}", {"result": result})
    settled = await world.settled(answer)
    assert settled.status == ("success" if result == "pass" else "fail")
    is_changed = await _account_of(world, subscription) != before
    assert is_changed is (result == "pass")
    [event] = await world.fetch(
        "select convert_from(body, 'UTF8')::jsonb -> 'subscription' ->> 'id' as id from event "
        "where transaction_id = $1",
        settled.transaction_id,
    )
    assert event["id"] == subscription["id"]


async def _account_of(world: World, subscription: Any) -> Any:
    [row] = await world.fetch("select account_id from subscription where subscription_id = $1", int(subscription["id"]))
    return row["account_id"]
