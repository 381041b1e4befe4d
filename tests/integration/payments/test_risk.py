"""Who is refused before the acquirer is asked: consumers on the blacklist, and what is paid with too often."""

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
    assert (refused.outcome, refused.reply.status) == (("fail", "1001"), 201)
    assert refused.body["consumer"]["blocked"] is True
    assert len(shop.acquirer.asked) == 1
    event = await shop.fetch("select status from event where transaction_id = $1", refused.transaction_id)
    assert [row["status"] for row in event] == ["fail"]
    await group(shop, 3)
    again = named | ({"token": await shop.tokenize()} if kind == "token" else {})
    paid = await shop.pay(**again)
    assert (paid.outcome, paid.body["consumer"]["blocked"]) == (("success", "0"), False)


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
    intent = await shop.intent(account_id=paid.payment["source"]["paymentAccountId"], external_id=None)
    await shop.value("update account set disabled = true")
    refused = Paid(await charge(shop.parts.charging, intent))
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


def limited(shop: Shop, **settings: int) -> Shop:
    """Open a process with velocity limits on the same database, with the same acquirer."""
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
async def test_too_many_attempts(shop: Shop, by: str, other: dict[str, str]) -> None:
    """One more than the limit is `fail` 1002, told by an IPN, and nobody is asked; another one may pay."""
    shop = limited(shop, **{f"attempts_by_{by}": 2})
    outcomes = [(await shop.pay()).outcome for _ in range(4)]
    assert outcomes == [("success", "0")] * 2 + [("fail", "1002")] * 2
    assert len(shop.acquirer.asked) == 2
    assert await shop.value("select count(*) from event where status = 'fail'") == 2
    assert (await shop.pay(**other)).outcome == ("success", "0")


async def test_too_many_declines(shop: Shop) -> None:
    """After as many declines as the limit says, the card is not tried again; approvals do not count."""
    shop = limited(shop, declines_by_card=2)
    shop.acquirer.plan(Plan(), Plan(Declined("51")), Plan(Declined("05")))
    codes = [(await shop.pay(external_id=f"user-{n}")).payment["code"] for n in range(4)]
    assert codes == ["0", "5051", "5005", "1002"]


async def test_what_is_too_long_ago_does_not_count(shop: Shop) -> None:
    """Only the window counts, and what is older is swept."""
    shop = limited(shop, attempts_by_card=1)
    await shop.pay()
    await shop.value("update velocity_mark set noted_at = now() - interval '61 minutes'")
    assert (await shop.pay()).outcome == ("success", "0")
    await Sweeper(shop.parts.database, build_sweeps(shop.parts.limits)).step()
    assert await shop.value("select count(*) from velocity_mark") == 3


async def test_many_at_once(shop: Shop) -> None:
    """Of many attempts at the same moment no more get through than the limit says."""
    shop = limited(shop, attempts_by_card=3)
    intents = [await shop.intent(external_id=f"user-{n}") for n in range(10)]
    paid = await all_at_once(*(charge(shop.parts.charging, intent) for intent in intents))
    outcomes = sorted(Paid(reply).payment["code"] for reply in paid)
    assert outcomes == ["0"] * 3 + ["1002"] * 7


async def test_what_does_not_count(shop: Shop) -> None:
    """The whitelist, repeats of a request, and what the merchant initiates are not limited."""
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
    """What one merchant's shoppers do limits no other's."""
    shop = limited(shop, attempts_by_card=1, attempts_by_address=1)
    await shop.pay()
    assert (await shop.pay(merchant_id=OTHER_MERCHANT, site_id=OTHER_SITE)).outcome == ("success", "0")


async def test_without_limits_nothing_is_counted(shop: Shop) -> None:
    """A gateway without limits writes no marks."""
    await shop.pay()
    assert await shop.value("select count(*) from velocity_mark") == 0
