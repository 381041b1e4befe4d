"""Subscriptions that begin on a payment page, and cards of subscriptions that their holders have to confirm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import pytest_asyncio
from tests.support.cardholders import REDIRECT_URL, Answer, ServedGateway, open_served_gateway, payment_request
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
async def served(postgres_dsn: str, template: str) -> AsyncIterator[ServedGateway]:
    """One gateway that is served, and its simulator, for all tests of this module."""
    async with clone_database(postgres_dsn, template) as dsn:
        database, simulated = [await Database.connect(dsn, schema=schema) for schema in ("gateway", "simulator")]
        async with open_served_gateway(database, simulated) as served:
            yield served
        await database.close()
        await simulated.close()


async def get(served: ServedGateway, path: str) -> Answer:
    """Look something up."""
    return await served.get(path, Authorization=served.api_key)


async def test_sign_up_on_a_payment_page_begins_a_subscription(served: ServedGateway) -> None:
    """Who pays a schedule on a page has subscribed: it is told with the payment, looked up, and will be charged."""
    urls = {"ipnUrl": "http://127.0.0.1:9/ipn", "redirectUrl": REDIRECT_URL}
    page = await make_page(
        served,
        sku={"siteId": str(SITE_ID), "title": "Premium", "price": MONTHLY, "url": urls},
        consumer={"id": "user-7"},
    )
    await page.follow(await page.pay("decline_51"))
    back = await page.follow(await page.pay())
    result = dict(parse_qsl(urlsplit(back.headers["Location"]).query))
    payment = (await get(served, f"/payment/{result['cb_transaction_id']}")).json
    subscription = payment["subscription"]
    assert (subscription["status"], subscription["cycle"]) == ("active", 0)
    assert (await get(served, f"/subscription/{subscription['id']}")).json == subscription
    upcoming = (await get(served, f"/subscription/{subscription['id']}/upcoming?limit=1")).json["data"]
    assert (upcoming[0]["date"], upcoming[0]["amount"]) == (subscription["renewalDate"], 19.99)
    [row] = await served.fetch("select count(*) from subscription")
    assert row["count"] == 1


async def sign_up(served: ServedGateway) -> Any:
    """Sign up without 3-D Secure, and return the subscription."""
    body = payment_request("visa", three_ds=False)
    body["sku"]["price"] = MONTHLY
    return (await served.call("/payment", body)).json["subscription"]


@pytest.mark.parametrize("result", ["pass", "fail"])
async def test_old_card_stays_until_the_challenge_is_passed(served: ServedGateway, result: str) -> None:
    """Until its holder confirms the new card, the old one stays; the answer has the subscription even so."""
    subscription = await sign_up(served)
    source = payment_request("challenge")["paymentSource"]
    before = await _account_of(served, subscription)
    answer = await served.put(f"/subscription/{subscription['id']}/paymentAccount", {"paymentSource": source})
    told = answer.json
    assert (answer.status, told["payment"]["status"], told["payment"]["action"]) == (200, "pending", "redirect")
    assert told["subscription"] == subscription
    assert await _account_of(served, subscription) == before
    await served.challenge(answer)
    await served.call(f"/stage/3ds/{told['payment']['orderId']}", {"result": result})
    settled = await served.settled(answer)
    assert settled.status == ("success" if result == "pass" else "fail")
    is_changed = await _account_of(served, subscription) != before
    assert is_changed is (result == "pass")
    [event] = await served.fetch(
        "select convert_from(body, 'UTF8')::jsonb -> 'subscription' ->> 'id' as id from event "
        "where transaction_id = $1",
        settled.transaction_id,
    )
    assert event["id"] == subscription["id"]


async def _account_of(served: ServedGateway, subscription: Any) -> Any:
    [row] = await served.fetch(
        "select account_id from subscription where subscription_id = $1", int(subscription["id"])
    )
    return row["account_id"]
