"""A token pays once."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from tests.support.acquirer import Plan
from tests.support.shop import CVV, MERCHANT, NUMBER, OTHER_MERCHANT, OTHER_SITE, Shop, all_at_once, claim, faults_in

from tollhouse.acquirers.model import Declined
from tollhouse.kernel.errors import Invalid
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.idempotency import replay_claim
from tollhouse.vault.seal import derive_token_id
from tollhouse.vault.tokens import select_token

USED = "is already used; tokenize the card again"
EXPIRED = "has expired; tokenize the card again"
UNKNOWN = "is unknown; tokenize the card again"


async def fault_of(shop: Shop, **changes: object) -> str:
    """Return the fault of a token that cannot be used."""
    with pytest.raises(Invalid) as refused:
        await shop.intent(**changes)
    [text] = faults_in(refused.value)["token"]
    return text


async def test_a_token_pays(shop: Shop) -> None:
    """The card and the security code of a token reach the acquirer."""
    paid = await shop.pay(token=await shop.tokenize())
    assert paid.outcome == ("success", "0")
    assert paid.payment["apiPaymentSource"] == "token"
    [asked] = shop.acquirer.asked
    assert (asked.card.number.reveal(), asked.cvv and asked.cvv.reveal()) == (NUMBER, CVV)


@pytest.mark.parametrize("guarded", [True, False])
async def test_of_twenty_payments_with_one_token_one_wins(shop: Shop, *, guarded: bool) -> None:
    """Of twenty concurrent payments with one token one is charged, the others are rejected."""
    await shop.value("update site set guards_double_clicks = $1", guarded)
    token = await shop.tokenize()
    intents = [await shop.intent(token=token, external_id=f"user-{i}", claim=claim(f"r{i}")) for i in range(20)]
    answers = await all_at_once(*(charge(shop.parts.charging, intent) for intent in intents))
    assert len(shop.acquirer.charged) == 1
    refused = [answer for answer in answers if isinstance(answer, Invalid)]
    assert len(refused) == 19
    assert {faults_in(error)["token"][0] for error in refused} == {USED}
    assert await shop.value("select count(*) from payment") == 1
    assert await shop.value("select count(*) from request_claim") == 1


async def test_two_processes_share_one_token(shop: Shop, other_process: Shop) -> None:
    """Of concurrent payments with one token in two processes one is charged."""
    await shop.value("update site set guards_double_clicks = false")
    token = await shop.tokenize()
    intents = [await shop.intent(token=token) for _ in range(8)]
    await all_at_once(
        *(charge((shop, other_process)[i % 2].parts.charging, intent) for i, intent in enumerate(intents))
    )
    assert len(shop.acquirer.charged) == 1


async def test_a_used_token_holds_nothing(shop: Shop) -> None:
    """A used token has neither card nor security code, and refers to its payment."""
    token = await shop.tokenize()
    paid = await shop.pay(token=token)
    [row] = await shop.fetch("select sealed_card, used_by from token")
    assert (row["sealed_card"], row["used_by"]) == (None, int(paid.payment["orderId"]))
    assert await shop.value("select count(*) from security_code") == 0


async def test_the_database_knows_no_token(shop: Shop) -> None:
    """A token is stored as a hash only, before and after it pays."""
    token = await shop.tokenize()
    for _ in range(2):
        [row] = await shop.fetch("select * from token")
        assert row["token_id"] == derive_token_id(token)
        assert str(token) not in str(dict(row))
        await shop.pay(token=token) if row["used_by"] is None else None


async def test_a_token_id_is_no_token(shop: Shop) -> None:
    """The stored values of a token do not pay."""
    token = await shop.tokenize()
    assert await fault_of(shop, token=derive_token_id(token)) == UNKNOWN


async def test_a_declined_payment_uses_the_token(shop: Shop) -> None:
    """A declined payment uses its token."""
    shop.acquirer.plan(Plan(Declined("05")))
    token = await shop.tokenize()
    assert (await shop.pay(token=token)).outcome == ("fail", "5005")
    assert await fault_of(shop, token=token) == USED


async def test_a_token_outlives_a_begin_that_failed(shop: Shop) -> None:
    """A payment that was not committed leaves token, idempotency key and security code unchanged."""
    token = await shop.tokenize()
    spoilt = await shop.intent(token=token, claim=claim("r1"), metadata="no JSON")
    with pytest.raises(Exception, match="json"):
        await charge(shop.parts.charging, spoilt)
    paid = await shop.pay(token=token, claim=claim("r1"))
    assert paid.outcome == ("success", "0")
    assert shop.acquirer.asked[0].cvv is not None


async def test_each_invalid_token_has_its_fault(shop: Shop) -> None:
    """Used, expired, deleted, foreign and unknown tokens have different faults, as far as the caller may know."""
    used = await shop.tokenize()
    await shop.pay(token=used)
    assert await fault_of(shop, token=used) == USED
    expired = await shop.tokenize()
    await shop.value(
        "update token set expires_at = now() - interval '1 s' where token_id = $1", derive_token_id(expired)
    )
    assert await fault_of(shop, token=expired) == EXPIRED
    await shop.value("update token set sealed_card = null where token_id = $1", derive_token_id(expired))
    assert await fault_of(shop, token=expired) == EXPIRED
    foreign = await shop.tokenize(merchant_id=OTHER_MERCHANT)
    assert await fault_of(shop, token=foreign) == UNKNOWN
    for text in (uuid4(), "no-uuid", "{}", "12345"):
        assert await fault_of(shop, token=text) == UNKNOWN


async def test_a_token_expires_at_begin(shop: Shop) -> None:
    """The time of begin decides whether a token has expired."""
    token = await shop.tokenize()
    intent = await shop.intent(token=token, claim=claim("r1"))
    await shop.value("update token set expires_at = now()")
    with pytest.raises(Invalid):
        await charge(shop.parts.charging, intent)
    assert shop.acquirer.asked == []
    assert await shop.value("select count(*) from request_claim") == 0


async def test_a_bound_token_pays_at_its_merchant(shop: Shop) -> None:
    """A token made with an API key pays at that merchant; one made without pays anywhere."""
    assert (await shop.pay(token=await shop.tokenize(merchant_id=MERCHANT))).outcome == ("success", "0")
    free = await shop.tokenize()
    paid = await shop.pay(token=free, merchant_id=OTHER_MERCHANT, site_id=OTHER_SITE)
    assert paid.outcome == ("success", "0")


async def test_a_repeated_request_with_its_used_token(shop: Shop) -> None:
    """A repeat gets its response although its token is used."""
    token = await shop.tokenize()
    paid = await shop.pay(token=token, claim=claim("r1"))
    reply = await replay_claim(shop.parts.requests, claim("r1"))
    assert reply is not None
    assert (reply.body, reply.is_replay) == (paid.reply.body, True)


async def test_a_token_lives_a_quarter_of_an_hour(shop: Shop) -> None:
    """A token expires 15 minutes after it was made, by the database's time."""
    token = await shop.tokenize()
    async with shop.parts.database.acquire() as connection:
        stored = await select_token(connection, token, merchant_id=1)
    assert stored is not None
    left = stored.expires_at - await shop.value("select now()")
    assert timedelta(minutes=14, seconds=50) < left <= timedelta(minutes=15, seconds=1)


async def test_two_cards_make_two_accounts(shop: Shop) -> None:
    """All tokens of one card lead to one stored card."""
    accounts: set[str] = set()
    for _ in range(2):
        paid = await shop.pay(token=await shop.tokenize(), metadata=json.dumps({"n": len(accounts)}))
        accounts.add(paid.payment["source"]["paymentAccountId"])
    assert len(accounts) == 1
