"""Who is refused before the acquirer is asked: consumers on the blacklist, and what is paid with too often."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.shop import Paid, Shop, claim

from tollhouse.payments.charge import charge


async def group(shop: Shop, group_id: int, external_id: str = "user-1") -> str:
    """Put a consumer into a group and return the gateway's id."""
    consumer_id = await shop.value(
        "update consumer set group_id = $1 where external_id = $2 returning consumer_id", group_id, external_id
    )
    return str(consumer_id)


async def source(shop: Shop, kind: str) -> dict[str, Any]:
    """Let user-1 pay once, and return what names that consumer in a payment of this kind."""
    paid = await shop.pay(metadata='{"first": true}')
    consumer_id, account_id = paid.body["consumer"]["id"], paid.payment["source"]["paymentAccountId"]
    return {
        "card": {},
        "token": {"token": await shop.tokenize()},
        "known": {"consumer_id": consumer_id},
        "account": {"account_id": account_id, "external_id": None},
        "consumer": {"source_consumer_id": consumer_id, "external_id": None},
    }[kind]


@pytest.mark.parametrize("kind", ["card", "token", "known", "account", "consumer"])
async def test_the_blacklist(shop: Shop, kind: str) -> None:
    """However a blacklisted consumer is named, the payment is `fail` 1001, told by an IPN, and nobody is asked."""
    named = await source(shop, kind)
    await group(shop, 2)
    refused = await shop.pay(**named)
    assert refused.outcome == ("fail", "1001")
    assert refused.reply.status == 201
    assert len(shop.acquirer.asked) == 1
    event = await shop.fetch("select status from event where transaction_id = $1", refused.transaction_id)
    assert [row["status"] for row in event] == ["fail"]
    await group(shop, 3)
    again = named | ({"token": await shop.tokenize()} if kind == "token" else {})
    assert (await shop.pay(**again)).outcome == ("success", "0")


async def test_the_refusal_is_repeated(shop: Shop) -> None:
    """A request id that met the blacklist gets its refusal again, also when the consumer may pay by now."""
    await shop.pay()
    await group(shop, 2)
    first = await shop.pay(claim=claim("r1"))
    await group(shop, 4)
    again = await shop.pay(claim=claim("r1"))
    assert (first.outcome, again.reply.body, again.reply.is_replay) == (("fail", "1001"), first.reply.body, True)


@pytest.mark.parametrize("group_id", [1, 3, 4, 5])
async def test_other_groups_pay(shop: Shop, group_id: int) -> None:
    """Only the blacklist keeps a consumer from paying."""
    await shop.pay()
    await group(shop, group_id)
    assert (await shop.pay()).outcome == ("success", "0")


async def test_the_blacklist_is_the_merchants_own(shop: Shop) -> None:
    """Another consumer with the same card is not refused."""
    await shop.pay()
    await group(shop, 2)
    assert (await shop.pay(external_id="user-2")).outcome == ("success", "0")


async def test_a_card_disabled_meanwhile(shop: Shop) -> None:
    """A stored card that is disabled after it was looked up is refused all the same."""
    paid: Paid = await shop.pay()
    order = await shop.order(account_id=paid.payment["source"]["paymentAccountId"], external_id=None)
    await shop.value("update account set disabled = true")
    refused = Paid(await charge(shop.tools, order))
    assert (refused.outcome, refused.payment["source"]["disabled"]) == (("fail", "1020"), True)
    assert len(shop.acquirer.asked) == 1


async def test_answers_tell_that_a_card_is_disabled(shop: Shop) -> None:
    """A disabled card may be typed in again; the answer and a later look say that its account is disabled."""
    first = await shop.pay()
    assert first.payment["source"]["disabled"] is False
    await shop.value("update account set disabled = true")
    again = await shop.pay()
    assert (again.outcome, again.payment["source"]["disabled"]) == (("success", "0"), True)
    assert (await shop.stored(first.transaction_id)).source.is_disabled
