"""Payments that are blocked without an acquirer call: blacklisted consumers and velocity limits."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.acquirer import Plan
from tests.support.shop import OTHER_MERCHANT, OTHER_NUMBER, OTHER_SITE, Paid, Shop, all_at_once, claim, open_shop

from tollhouse.acquirers.model import Declined
from tollhouse.composition.settings import Settings
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.velocity import build_sweeps
from tollhouse.storage.sweep import Sweeper


async def group(shop: Shop, group_id: int, external_id: str = "user-1") -> str:
    """Set the group of a consumer, and return the gateway's ID."""
    consumer_id = await shop.value(
        "update consumer set group_id = $1 where external_id = $2 returning consumer_id", group_id, external_id
    )
    return str(consumer_id)


async def source(shop: Shop, kind: str) -> dict[str, Any]:
    """Let user-1 pay once, and return a source of this kind for that consumer."""
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
async def test_a_blacklisted_consumer_is_blocked(shop: Shop, kind: str) -> None:
    """By every source the payment is `fail` 1001, reported by a callback, without an acquirer call."""
    named = await source(shop, kind)
    await group(shop, 2)
    refused = await shop.pay(**named)
    assert (refused.outcome, refused.reply.status) == (("fail", "1001"), 201)
    assert refused.body["consumer"]["blocked"] is True
    assert len(shop.acquirer.asked) == 1
    event = await shop.fetch("select status from event where transaction_id = $1", refused.transaction_id)
    assert [row["status"] for row in event] == ["fail"]
    await group(shop, 3)
    again = named | ({"token": await shop.tokenize()} if kind == "token" else {})
    paid = await shop.pay(**again)
    assert (paid.outcome, paid.body["consumer"]["blocked"]) == (("success", "0"), False)


async def test_a_block_is_replayed(shop: Shop) -> None:
    """A key that was blocked is replayed, also if the consumer may pay by now."""
    await shop.pay()
    await group(shop, 2)
    first = await shop.pay(claim=claim("r1"))
    await group(shop, 4)
    again = await shop.pay(claim=claim("r1"))
    assert (first.outcome, again.reply.body, again.reply.is_replay) == (("fail", "1001"), first.reply.body, True)


@pytest.mark.parametrize("group_id", [1, 3, 4, 5])
async def test_other_groups_pay(shop: Shop, group_id: int) -> None:
    """Only the blacklist blocks a consumer."""
    await shop.pay()
    await group(shop, group_id)
    assert (await shop.pay()).outcome == ("success", "0")


async def test_the_blacklist_is_the_merchants_own(shop: Shop) -> None:
    """Another consumer with the same card is not blocked."""
    await shop.pay()
    await group(shop, 2)
    assert (await shop.pay(external_id="user-2")).outcome == ("success", "0")


async def test_a_card_disabled_during_the_request_is_refused(shop: Shop) -> None:
    """A stored card that is disabled after it was loaded is refused."""
    paid: Paid = await shop.pay()
    intent = await shop.intent(account_id=paid.payment["source"]["paymentAccountId"], external_id=None)
    await shop.value("update account set disabled = true")
    refused = Paid(await charge(shop.parts.charging, intent))
    assert (refused.outcome, refused.payment["source"]["disabled"]) == (("fail", "1020"), True)
    assert len(shop.acquirer.asked) == 1


async def test_responses_show_a_disabled_card(shop: Shop) -> None:
    """A payment with the number of a disabled card shows that its stored card is disabled."""
    first = await shop.pay()
    assert first.payment["source"]["disabled"] is False
    await shop.value("update account set disabled = true")
    again = await shop.pay()
    assert (again.outcome, again.payment["source"]["disabled"]) == (("success", "0"), True)
    assert (await shop.stored(first.transaction_id)).source.is_disabled


def limited(shop: Shop, **settings: int) -> Shop:
    """A process with velocity limits on the same database, with the same acquirer."""
    limits: dict[str, Any] = {f"velocity_{name}": limit for name, limit in settings.items()}
    return open_shop(shop.parts.database, shop.acquirer, settings=Settings(**limits))


@pytest.mark.parametrize(
    ("by", "other"),
    [
        ("consumer", {"external_id": "user-2"}),
        ("card", {"number": OTHER_NUMBER}),
        ("address", {"consumer_ip": "203.0.113.46"}),
    ],
)
async def test_attempts_beyond_the_limit_are_blocked(shop: Shop, by: str, other: dict[str, str]) -> None:
    """An attempt beyond the limit is `fail` 1002, reported by a callback, without an acquirer call."""
    shop = limited(shop, **{f"attempts_by_{by}": 2})
    outcomes = [(await shop.pay()).outcome for _ in range(4)]
    assert outcomes == [("success", "0")] * 2 + [("fail", "1002")] * 2
    assert len(shop.acquirer.asked) == 2
    assert await shop.value("select count(*) from event where status = 'fail'") == 2
    assert (await shop.pay(**other)).outcome == ("success", "0")


async def test_a_card_with_too_many_declines_is_blocked(shop: Shop) -> None:
    """After the limit of declines a card is blocked; approvals do not count."""
    shop = limited(shop, declines_by_card=2)
    shop.acquirer.plan(Plan(), Plan(Declined("51")), Plan(Declined("05")))
    codes = [(await shop.pay(external_id=f"user-{n}")).payment["code"] for n in range(4)]
    assert codes == ["0", "5051", "5005", "1002"]


async def test_only_the_window_counts(shop: Shop) -> None:
    """Older attempts do not count, and the sweep deletes them."""
    shop = limited(shop, attempts_by_card=1)
    await shop.pay()
    await shop.value("update velocity_mark set noted_at = now() - interval '61 minutes'")
    assert (await shop.pay()).outcome == ("success", "0")
    await Sweeper(shop.parts.database, build_sweeps(shop.parts.limits)).step()
    assert await shop.value("select count(*) from velocity_mark") == 3


async def test_concurrent_attempts_keep_the_limit(shop: Shop) -> None:
    """Of concurrent attempts no more pass than the limit allows."""
    shop = limited(shop, attempts_by_card=3)
    intents = [await shop.intent(external_id=f"user-{n}") for n in range(10)]
    paid = await all_at_once(*(charge(shop.parts.charging, intent) for intent in intents))
    outcomes = sorted(Paid(reply).payment["code"] for reply in paid)
    assert outcomes == ["0"] * 3 + ["1002"] * 7


async def test_exempt_payments_do_not_count(shop: Shop) -> None:
    """Whitelisted consumers, repeats and merchant-initiated charges are not limited."""
    shop = limited(shop, attempts_by_card=2)
    first = await shop.pay(claim=claim("r1"))
    assert (await shop.pay(claim=claim("r1"))).reply.is_replay
    account = {"account_id": first.payment["source"]["paymentAccountId"], "external_id": None, "cvv": None}
    assert (await shop.pay(**account, initiator="merchant")).outcome == ("success", "0")
    assert [(await shop.pay()).payment["code"] for _ in range(2)] == ["0", "1002"]
    assert (await shop.pay(**account, initiator="merchant")).outcome == ("success", "0")
    await group(shop, 1)
    assert (await shop.pay()).outcome == ("success", "0")


async def test_limits_are_each_merchants_own(shop: Shop) -> None:
    """Payments of one merchant's consumers limit no other merchant's."""
    shop = limited(shop, attempts_by_card=1, attempts_by_address=1)
    await shop.pay()
    assert (await shop.pay(merchant_id=OTHER_MERCHANT, site_id=OTHER_SITE)).outcome == ("success", "0")


async def test_without_limits_nothing_is_counted(shop: Shop) -> None:
    """A gateway without limits writes no marks."""
    await shop.pay()
    assert await shop.value("select count(*) from velocity_mark") == 0
