"""A double click: the second of two equal payments gets the response of the first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.acquirer import Plan
from tests.support.cardholders import ServedGateway, payment_request
from tests.support.shop import OTHER_NUMBER, Shop, claim, price, until_begun

from tollhouse.acquirers.model import Proof
from tollhouse.notices.model import ReceiptRequest
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.model import ExternalAuthentication


@pytest.mark.parametrize("first", [None, claim("r1")], ids=["unnamed", "named"])
@pytest.mark.parametrize("second", [None, claim("r2")], ids=["unnamed", "named"])
async def test_a_double_click_gets_the_first_order(shop: Shop, other_process: Shop, first: Any, second: Any) -> None:
    """With idempotency keys or without, in any process, the second click gets the first one's order."""
    held, paying = await shop.start(claim=first)
    clicks = [asyncio.create_task(each.pay(claim=second)) for each in (shop, other_process)]
    await until_begun(3, shop, other_process)
    held.set()
    answers = [await paying, *[await click for click in clicks]]
    assert len({paid.reply.body for paid in answers}) == 1
    assert len(shop.acquirer.asked) == 1
    assert await shop.value("select count(*) from transaction") == 1
    assert await shop.value("select count(*) from event") == 1


@pytest.mark.parametrize("named", [True, False])
async def test_twenty_concurrent_clicks_are_one_order(shop: Shop, other_process: Shop, *, named: bool) -> None:
    """Twenty equal concurrent payments in two processes are one order."""
    shop.acquirer.plan(Plan(hold=(held := asyncio.Event())))
    shops = (shop, other_process)
    intents = [await shops[n % 2].intent(claim=claim(f"r{n}") if named else None) for n in range(20)]
    paying = [asyncio.create_task(charge(shops[n % 2].parts.charging, intent)) for n, intent in enumerate(intents)]
    await until_begun(20, *shops)
    held.set()
    assert len({(await task).body for task in paying}) == 1
    assert len(shop.acquirer.charged) == 1


async def test_the_key_of_a_double_click_is_claimed(shop: Shop) -> None:
    """The idempotency key of a double click stays claimed, with the first one's response."""
    held, paying = await shop.start()
    click = asyncio.create_task(shop.pay(claim=claim("r2")))
    await until_begun(2, shop)
    held.set()
    await click
    assert (await shop.pay(claim=claim("r2"))).reply.body == (await paying).reply.body
    assert len(shop.acquirer.charged) == 1


async def test_after_the_end_it_is_a_new_payment(shop: Shop) -> None:
    """After the first payment has finished, an equal one is another payment."""
    first, second = await shop.pay(), await shop.pay()
    assert first.payment["orderId"] != second.payment["orderId"]
    assert len(shop.acquirer.charged) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": '{"order": 2}'},
        {"external_id": "user-2"},
        {"number": OTHER_NUMBER},
        {"prices": (price(2000),)},
        {"prices": (price(1999, currency="EUR"),)},
        {"prices": (price(1999), price(999, "30d"))},
        {"title": "Another thing"},
        {"year": 2031},
        {"month": 11},
        {"holder": "John Smith"},
        {"zip": "10001"},
        {"consumer": {"firstName": "Jane", "lastName": "Smith", "email": "jane@shop.example"}},
        {"consumer_ip": "203.0.113.46"},
        {"ipn_url": "http://127.0.0.1:9/other"},
        {"redirect_url": "http://127.0.0.1:9/other"},
        {"mid": "123"},
        {"emulate_code": "0000"},
        {"receipt": ReceiptRequest(language="de")},
        {"external_authentication": ExternalAuthentication(exemption="tra")},
        {
            "external_authentication": ExternalAuthentication(
                "Y", "05", Proof("05", "A" * 28, None, "2.2.0", is_external=True)
            )
        },
    ],
)
async def test_any_difference_makes_another_order(shop: Shop, changes: dict[str, Any]) -> None:
    """A request that differs in anything is another order with its own charge, also while the first is open."""
    held, paying = await shop.start()
    other = await shop.pay(**changes)
    held.set()
    assert other.payment["orderId"] != (await paying).payment["orderId"]
    assert len(shop.acquirer.charged) == 2


async def test_a_security_code_is_not_compared(shop: Shop) -> None:
    """Security codes are not stored, so two requests that differ only in it are a double click."""
    held, paying = await shop.start()
    click = asyncio.create_task(shop.pay(cvv="111"))
    await until_begun(2, shop)
    held.set()
    assert (await click).reply.body == (await paying).reply.body
    assert len(shop.acquirer.charged) == 1


async def test_a_token_is_not_compared(shop: Shop) -> None:
    """Two tokens of the same card make equal payments."""
    token, second = await shop.tokenize(), await shop.tokenize()
    held, paying = await shop.start(token=token)
    click = asyncio.create_task(shop.pay(token=second))
    await until_begun(2, shop)
    held.set()
    assert (await click).reply.body == (await paying).reply.body


async def test_unnamed_consumers_are_compared_by_profile(shop: Shop) -> None:
    """Consumers without an ID are equal if their data are."""
    held, paying = await shop.start(external_id=None)
    click = asyncio.create_task(shop.pay(external_id=None))
    await until_begun(2, shop)
    other = await shop.pay(external_id=None, consumer={"firstName": "John"})
    held.set()
    assert (await click).reply.body == (await paying).reply.body
    assert other.payment["orderId"] != (await paying).payment["orderId"]
    # The click left nobody behind who never paid.
    assert await shop.value("select count(*) from consumer") == 2


async def test_a_site_without_protection_charges_each_click(shop: Shop) -> None:
    """If the site has no protection against double clicks, each click is a payment."""
    await shop.value("update site set guards_double_clicks = false")
    held, paying = await shop.start()
    other = await shop.pay()
    held.set()
    assert other.payment["orderId"] != (await paying).payment["orderId"]


@pytest.mark.parametrize("second", [None, claim("r2")], ids=["unnamed", "named"])
async def test_a_double_click_of_an_unknown_outcome_is_pending(shop: Shop, second: Any) -> None:
    """While the outcome is unknown, the second click gets `pending` at once, and later too."""
    shop.acquirer.plan(Plan(lost="answer"))
    first = await shop.pay(claim=claim("r1"))
    assert first.outcome == ("pending", "0")
    async with asyncio.timeout(5):
        click = await shop.pay(claim=second)
    assert click.reply.body == first.reply.body
    await shop.resolve(first.transaction_id)
    if second:
        assert (await shop.pay(claim=second)).reply.body == first.reply.body
    assert len(shop.acquirer.charged) == 1


@pytest.mark.parametrize("first", [None, claim("r1")], ids=["unnamed", "named"])
@pytest.mark.parametrize("second", [None, claim("r2")], ids=["unnamed", "named"])
async def test_a_double_click_of_a_slow_payment_is_pending(shop: Shop, first: Any, second: Any) -> None:
    """If the first response was `pending` after the time-out, so is the second."""
    held, paying = await shop.hasty.start(claim=first)
    click = await shop.hasty.pay(claim=second)
    assert click.reply.body == (await paying).reply.body
    assert click.outcome == ("pending", "0")
    held.set()


async def test_a_double_click_at_the_end_gets_the_response(shop: Shop) -> None:
    """A key that is linked to a payment as it finishes gets that payment's response."""
    first = await shop.pay()
    order_id = int(first.payment["orderId"])
    await shop.value(
        """
        insert into request_claim (merchant_id, operation, request_id, digest, payment_id)
        values (1, 'payment', 'r2', $1, $2)
        """,
        claim("r2").digest,
        order_id,
    )
    assert (await shop.pay(claim=claim("r2"))).reply.body == first.reply.body
    assert len(shop.acquirer.charged) == 1


@pytest.mark.parametrize("soft", [False, True], ids=["asked for", "soft decline"])
async def test_a_double_click_of_a_challenge_gets_its_redirect(served: ServedGateway, *, soft: bool) -> None:
    """While the first payment waits for its cardholder, the second click gets the same redirect."""
    body = payment_request("decline_1a" if soft else "challenge", three_ds=not soft)
    first = await served.call("/payment", body)
    assert first.json["payment"]["action"] == "redirect"
    for headers in ({}, {"X-Request-ID": "r2"}, {"X-Request-ID": "r2"}):
        async with asyncio.timeout(2):
            click = await served.call("/payment", body, **headers)
        assert (click.status, click.text) == (201, first.text)
    assert len(await served.fetch("select from transaction")) == 1
