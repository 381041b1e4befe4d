"""From a request to an intent: sources, owners, prices and mode."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from tests.support.acquirer import Plan, ScriptedAcquirer
from tests.support.shop import (
    NUMBER,
    OTHER_MERCHANT,
    OTHER_NUMBER,
    OTHER_SITE,
    Shop,
    claim,
    faults_in,
    open_shop,
    price,
)

from tollhouse.acquirers.model import Declined, Proof
from tollhouse.consumers.model import derive_consumer_id
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.ids import is_consumer_id
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.model import ExternalAuthentication, Mode


async def faults_of(shop: Shop, **changes: Any) -> dict[str, list[str]]:
    """Return the faults of a request."""
    try:
        await shop.intent(**changes)
    except Invalid as error:
        return faults_in(error)
    raise AssertionError("nothing was wrong")


async def stored_card(shop: Shop, **changes: Any) -> tuple[str, str]:
    """Pay with a card, and return its stored card and its consumer."""
    paid = await shop.pay(**changes)
    return paid.payment["source"]["paymentAccountId"], paid.body["consumer"]["id"]


# What happens now


@pytest.mark.parametrize(
    ("prices", "delayed", "mode", "minor", "subscribes"),
    [
        ((price(1999),), True, "sale", 1999, False),
        ((price(100), price(200)), True, "sale", 300, False),
        ((price(1999), price(999, "30d", repeat=True)), True, "sale", 1999, True),
        ((price(1999, "3d"),), True, "auth", 1999, False),
        ((price(1999, "3d"),), False, "auth", 0, True),
        ((price(1999, "3d", repeat=3),), True, "auth", 0, True),
        ((price(1999, "1w"),), True, "auth", 0, True),
        ((price(1999, "1m"),), True, "auth", 0, True),
        ((price(0), price(1999, "3d")), True, "auth", 0, True),
        ((price(1999, "3d"), price(1999, "30d")), True, "auth", 0, True),
        ((price(0),), True, "auth", 0, False),
        ((price(1999, "3d"), price(500)), True, "auth", 0, True),
    ],
)
async def test_prices_decide_the_mode(
    shop: Shop,
    prices: Any,
    *,
    delayed: bool,
    mode: str,
    minor: int,
    subscribes: bool,
) -> None:
    """Charges due at once are a sale, a single later charge is an authorization, all else a verification."""
    await shop.value("update site set delayed_capture = $1", delayed)
    paid = await shop.pay(prices=prices)
    stored = await shop.stored(paid.transaction_id)
    assert (stored.mode.value, stored.money.amount_minor) == (mode, minor)
    assert paid.payment["mode"] == mode
    assert shop.acquirer.asked[0].capture is (mode == "sale")
    assert (shop.acquirer.asked[0].reason == "recurring") is subscribes
    assert await shop.value("select count(*) from subscription") == subscribes
    assert ("subscription" in paid.body) is subscribes


async def test_an_authorization_has_to_last_until_its_capture(shop: Shop) -> None:
    """A capture that is due after the authorization may expire is a later charge instead."""
    await shop.value("update site set delayed_capture = true")
    for days, minor in ((6, 1999), (7, 0), (60, 0)):
        intent = await shop.intent(prices=(price(1999, f"{days}d"),))
        assert (intent.mode, intent.money.amount_minor) == (Mode.AUTH, minor)


async def test_a_sku_has_its_own_prices(shop: Shop) -> None:
    """An SKU has its own prices and title, unless the request has others; an empty list counts as none."""
    intent = await shop.intent(sku_name="MONTHLY", title="")
    assert (intent.money.amount_minor, intent.items[0].title, intent.items[0].sku_name) == (999, "Monthly", "MONTHLY")
    intent = await shop.intent(sku_name="MONTHLY", prices=(price(500),), title="Mine")
    assert (intent.money.amount_minor, intent.items[0].title) == (500, "Mine")


async def test_other_merchants_records_are_unknown(shop: Shop) -> None:
    """Another merchant's site, SKU and card count as unknown."""
    account, _ = await stored_card(shop)
    assert await faults_of(shop, site_id=OTHER_SITE) == {"site": ["is unknown"]}
    assert await faults_of(shop, site_id="12x") == {"site": ["is unknown"]}
    assert await faults_of(shop, site_id="9" * 19) == {"site": ["is unknown"]}
    assert "SKU" in await faults_of(shop, sku_name="MONTHLY", merchant_id=OTHER_MERCHANT)
    foreign = {"merchant_id": OTHER_MERCHANT, "site_id": OTHER_SITE, "account_id": account}
    assert await faults_of(shop, **foreign) == {"stored card": ["is unknown"]}


async def test_all_faults_at_once(shop: Shop) -> None:
    """An unknown site, an unknown token and missing URLs are reported together."""
    faults = await faults_of(shop, site_id=999, token=uuid4(), ipn_url=None, redirect_url=None)
    assert set(faults) == {"site", "token", "callback URL", "redirect URL"}


async def test_urls_come_from_the_site(shop: Shop) -> None:
    """The request's URLs replace the site's; without either they are required."""
    assert (await shop.intent()).ipn_url == "http://127.0.0.1:9/ipn"
    intent = await shop.intent(ipn_url=None, redirect_url=None)
    assert (intent.ipn_url, intent.redirect_url) == ("http://127.0.0.1:9/site-ipn", "http://127.0.0.1:9/site")
    bare = {"merchant_id": OTHER_MERCHANT, "site_id": OTHER_SITE, "ipn_url": None, "redirect_url": None}
    assert set(await faults_of(shop, **bare)) == {"callback URL", "redirect URL"}


# Consumers


async def test_consumers_are_found_or_created(shop: Shop) -> None:
    """An external ID is one consumer of one merchant; without an ID each consumer is new."""
    ids = [(await stored_card(shop))[1] for _ in range(2)]
    ids.append((await stored_card(shop, external_id="user-2"))[1])
    ids.append((await stored_card(shop, merchant_id=OTHER_MERCHANT, site_id=OTHER_SITE))[1])
    ids += [(await stored_card(shop, external_id=None))[1] for _ in range(2)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 5
    assert all(map(is_consumer_id, ids))
    assert await shop.value("select count(*) from consumer") == 5
    key = shop.gateway.vault.identity_key
    assert ids[0] == derive_consumer_id(key, merchant_id=1, external_id="user-1")


async def test_a_consumer_by_the_gateways_id(shop: Shop) -> None:
    """The gateway's ID finds its consumer with the merchant's own ID; other IDs are the merchant's."""
    _, consumer = await stored_card(shop)
    paid = await shop.pay(consumer_id=consumer, external_id=consumer)
    assert paid.body["consumer"]["id"] == consumer
    assert paid.body["consumer"]["externalId"] == "user-1"
    looks_like_ours = "c" + "0" * 24
    paid = await shop.pay(consumer_id=looks_like_ours, external_id=looks_like_ours)
    assert paid.body["consumer"]["id"] != looks_like_ours
    assert paid.body["consumer"]["externalId"] == looks_like_ours


async def test_the_first_payment_describes_a_consumer(shop: Shop) -> None:
    """Later payments do not change a consumer's profile, and in a batch the first one counts."""
    await shop.pay(consumer={"firstName": "Jane", "email": "jane@example.com"})
    paid = await shop.pay(consumer={"firstName": "Janet"})
    assert paid.body["consumer"]["firstName"] == "Janet"
    assert "email" not in paid.body["consumer"]
    assert await shop.value("select profile ->> 'firstName' from consumer") == "Jane"


async def test_a_declined_payment_leaves_a_consumer_and_no_card(shop: Shop) -> None:
    """A declined new card is not stored, and not the consumer's last."""
    shop.acquirer.plan(Plan(Declined("05")))
    paid = await shop.pay()
    assert paid.outcome == ("fail", "5005")
    assert await shop.value("select count(*) from account") == 0
    assert await shop.value("select last_account_id from consumer") is None
    account = paid.payment["source"]["paymentAccountId"]
    assert "stored card" in await faults_of(shop, account_id=account)
    consumer = paid.body["consumer"]["id"]
    assert "consumer of the source" in await faults_of(shop, source_consumer_id=consumer)


# Stored cards


async def test_the_same_card_is_the_same_account(shop: Shop) -> None:
    """A consumer has one stored card for a number; a new expiry updates it and its sealed card."""
    first, _ = await stored_card(shop)
    again, _ = await stored_card(shop, year=2033)
    other, _ = await stored_card(shop, number=OTHER_NUMBER)
    elsewhere, _ = await stored_card(shop, external_id="user-2")
    assert first == again
    assert len({first, other, elsewhere}) == 3
    assert await shop.value("select expiry_year from account where account_id = $1", first) == 2033
    intent = await shop.intent(account_id=first)
    assert intent.card.card.expiry.year == 2033
    assert intent.card.card.number.reveal() == NUMBER


async def test_a_stored_card_pays_for_its_owner(shop: Shop) -> None:
    """A stored card pays without a security code, for its owner, with its network transaction ID."""
    account, consumer = await stored_card(shop)
    paid = await shop.pay(account_id=account, external_id="somebody-else")
    assert paid.outcome == ("success", "0")
    assert paid.body["consumer"]["id"] == consumer
    assert paid.payment["source"]["paymentAccountId"] == account
    assert paid.payment["apiPaymentSource"] == "paymentAccountId"
    asked = shop.acquirer.asked[-1]
    assert asked.cvv is None
    assert asked.network_transaction_id == await shop.value("select network_transaction_id from account")
    assert await shop.value("select count(*) from consumer") == 1


async def test_the_source_consumer_charges_the_last_card(shop: Shop) -> None:
    """The source `consumer` charges the card of the last successful payment."""
    await stored_card(shop)
    last, consumer = await stored_card(shop, number=OTHER_NUMBER)
    shop.acquirer.plan(Plan(Declined("51")))
    await shop.pay()
    paid = await shop.pay(source_consumer_id=consumer, external_id=None)
    assert paid.payment["source"]["paymentAccountId"] == last
    assert paid.payment["apiPaymentSource"] == "consumer"


@pytest.mark.parametrize("name", ["user-1", "c" + "0" * 24, "x"])
async def test_only_the_gateways_ids_name_a_source(shop: Shop, name: str) -> None:
    """A merchant's own consumer ID is not a payment source."""
    await stored_card(shop)
    assert await faults_of(shop, source_consumer_id=name) == {
        "consumer of the source": ["is not a consumer ID of the gateway"]
    }


async def test_a_stored_card_pays_for_no_other_consumer(shop: Shop) -> None:
    """With a stored card `consumer.id` is one of its owner's IDs, or the request is rejected."""
    account, consumer = await stored_card(shop)
    _, stranger = await stored_card(shop, external_id="user-2")
    for name in (consumer, "user-1"):
        assert (await shop.intent(account_id=account, consumer_id=name)).payer.consumer_id == consumer
    for name in (stranger, "user-2", "nobody"):
        for source in ({"account_id": account}, {"source_consumer_id": consumer}):
            assert set(await faults_of(shop, **source, consumer_id=name)) == {"consumer"}


@pytest.mark.parametrize("by", ["account_id", "source_consumer_id"])
async def test_a_disabled_card_is_refused(shop: Shop, by: str) -> None:
    """A disabled card is `fail` 1020, recorded and reported like a decline, without an acquirer call."""
    account, consumer = await stored_card(shop)
    await shop.value("update account set disabled = true")
    source = {by: account if by == "account_id" else consumer}
    paid = await shop.pay(**source, claim=claim("r1"))
    assert paid.outcome == ("fail", "1020")
    assert paid.payment["codeCategory"] == 3
    assert len(shop.acquirer.asked) == 1
    assert (await shop.pay(**source, claim=claim("r1"))).reply.body == paid.reply.body
    assert await shop.value("select count(*) from event") == 2


async def test_the_number_of_a_disabled_card_can_pay(shop: Shop) -> None:
    """A payment with the number of a disabled card succeeds, and the stored card stays disabled."""
    await stored_card(shop)
    await shop.value("update account set disabled = true")
    assert (await shop.pay()).outcome == ("success", "0")
    assert await shop.value("select disabled from account")


# Merchant accounts, and proofs from elsewhere


async def test_a_named_account_is_used_alone(shop: Shop) -> None:
    """The acquirer gets the named account, and no other acquirer is called instead."""
    first, second = ScriptedAcquirer(name="first"), ScriptedAcquirer(name="second")
    shop = open_shop(shop.parts.database, first, second)
    shop = replace(shop, parts=replace(shop.parts, mids={"shop-eu": "second"}, takes_test_mids=True))
    assert (await shop.pay(mid="shop-eu")).outcome == ("success", "0")
    assert [asked.mid for asked in second.asked] == ["shop-eu"]
    first.plan(Plan(not_sent=True))
    assert (await shop.pay(mid="123")).outcome == ("fail", "1040")
    assert ([asked.mid for asked in first.asked], len(second.asked)) == (["123"], 1)
    assert await faults_of(shop, mid="nobody") == {"acquirer account": ["is unknown"]}


async def test_external_proofs_are_forwarded(shop: Shop) -> None:
    """An external proof is sent unchanged and not stored; an exemption is sent too."""
    proof = Proof("05", "A" * 28, None, "2.2.0", is_external=True)
    external_authentication = ExternalAuthentication("Y", "05", proof, "moto")
    paid = await shop.pay(external_authentication=external_authentication, asks_authentication=True)
    [asked] = shop.acquirer.asked
    assert (asked.proof, asked.exemption) == (proof, "moto")
    stored = await shop.stored(paid.transaction_id)
    assert stored.external_authentication == msgspec.structs.replace(external_authentication, proof=None)
    shop.acquirer.plan(Plan(Declined("1A")))
    assert (await shop.pay(external_authentication=ExternalAuthentication("U"))).outcome == ("fail", "1012")


async def test_a_security_code_is_sent_with_a_stored_card(shop: Shop) -> None:
    """A new code is sent with the stored card; merchant-initiated charges have none."""
    account, _ = await stored_card(shop)
    for initiator, code in (("customer", "123"), ("merchant", None)):
        source = {"source_kind": "paymentAccountIdWithCvv", "account_id": account, "cvv": "123"}
        await shop.pay(**source, initiator=initiator)
        asked = shop.acquirer.asked[-1].cvv
        assert (asked and asked.reveal()) == code


# Who initiates


async def test_a_merchant_can_charge_by_agreement(shop: Shop) -> None:
    """A merchant-initiated charge has an agreement: no security code, no redirect, its network transaction ID."""
    account, consumer = await stored_card(shop)
    for source in ({"account_id": account}, {"source_consumer_id": consumer}):
        intent = await shop.intent(**source, initiator="merchant", asks_authentication=True)
        assert (intent.asks_authentication, intent.may_redirect, intent.reason) == (False, False, "unscheduled")
        await charge(shop.parts.charging, intent)
        asked = shop.acquirer.asked[-1]
        assert (asked.initiator, asked.cvv) == ("merchant", None)
        assert asked.network_transaction_id


async def test_a_merchant_cannot_charge_without_agreement(shop: Shop) -> None:
    """Without an earlier payment by the consumer a merchant-initiated charge is rejected."""
    assert set(await faults_of(shop, initiator="merchant")) == {"initiator"}
    token = await shop.tokenize()
    assert set(await faults_of(shop, initiator="merchant", token=token)) == {"initiator"}
    account, _ = await stored_card(shop)
    await shop.value("update account set network_transaction_id = null")
    assert set(await faults_of(shop, initiator="merchant", account_id=account)) == {"initiator"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "one_click"),
        ({"prices": (price(1999), price(999, "30d"))}, "recurring"),
        ({"sku_name": "MONTHLY"}, "recurring"),
    ],
)
async def test_the_reason_follows_the_schedule(shop: Shop, changes: Any, reason: str) -> None:
    """A payment that starts a subscription is recurring, every other one by the consumer is one-click."""
    assert (await shop.intent(**changes)).reason == reason


@pytest.mark.parametrize(
    ("rule", "asked", "stored", "authenticates", "redirects"),
    [
        ("when_asked", False, False, False, True),
        ("when_asked", True, False, True, True),
        ("always", False, False, True, True),
        ("always", False, True, False, False),
        ("always", True, True, True, True),
        ("when_asked", False, True, False, False),
    ],
)
async def test_the_request_or_the_site_decides_authentication(
    shop: Shop,
    rule: str,
    *,
    asked: bool,
    stored: bool,
    authenticates: bool,
    redirects: bool,
) -> None:
    """A stored card is redirected only if the request asks for it; other sources also by the site's rule."""
    account, _ = await stored_card(shop)
    await shop.value("update site set three_ds = $1::text::three_ds_rule", rule)
    shop = await shop.forget_catalog()
    source = {"account_id": account} if stored else {}
    intent = await shop.intent(**source, asks_authentication=asked)
    assert (intent.asks_authentication, intent.may_redirect) == (authenticates, redirects)


async def test_a_soft_decline_of_a_stored_card_fails(shop: Shop) -> None:
    """It fails with 1012, and the issuer's codes are stored."""
    account, _ = await stored_card(shop)
    shop.acquirer.plan(Plan(Declined("1A", "05")))
    paid = await shop.pay(account_id=account)
    assert paid.outcome == ("fail", "1012")
    [row] = await shop.fetch("select response_code, advice_code from attempt where state = 'declined'")
    assert tuple(row) == ("1A", "05")


async def test_without_acquirers_a_payment_fails(shop: Shop) -> None:
    """Without an acquirer a payment is `fail` 1030, recorded and reported."""
    bare = replace(shop, parts=replace(shop.parts, acquirers={}))
    paid = await bare.pay()
    assert paid.outcome == ("fail", "1030")
    assert await shop.value("select count(*) from event") == 1


async def test_an_unsent_payment_goes_to_the_next_acquirer(shop: Shop) -> None:
    """It gets a new reference there; after the last acquirer it is `fail` 1040."""
    first, second = ScriptedAcquirer(name="first"), ScriptedAcquirer(name="second")
    shop = open_shop(shop.parts.database, first, second)
    first.plan(Plan(not_sent=True), Plan(not_sent=True))
    second.plan(Plan(), Plan(not_sent=True))
    paid = await shop.pay()
    assert paid.outcome == ("success", "0")
    rows = await shop.fetch("select acquirer, state::text, reference from attempt order by number")
    number = paid.transaction_id
    assert [tuple(row) for row in rows] == [("first", "not_sent", f"{number}-1"), ("second", "approved", f"{number}-2")]
    assert (await shop.pay()).outcome == ("fail", "1040")


async def test_the_authorization_has_the_committed_facts(shop: Shop) -> None:
    """The authorization has the committed reference, the amount, the card and the consumer's address."""
    paid = await shop.pay(emulate_code="5051")
    [asked] = shop.acquirer.asked
    assert asked.reference == f"{paid.transaction_id}-1"
    assert (asked.money.amount_minor, asked.money.currency.code, asked.descriptor) == (1999, "USD", "SHOP")
    assert (asked.consumer_ip, asked.emulate_code, asked.initiator) == ("203.0.113.45", "5051", "customer")
    assert asked.network_transaction_id is None


async def test_a_payment_is_read_as_it_was_written(shop: Shop) -> None:
    """A stored payment equals the built one in every field."""
    stored = await shop.begin(
        prices=(price(1999), price(999, "1m", repeat=12)), metadata='{"b": [1.50, {}], "a": "ß"}', emulate_code="0000"
    )
    await shop.resolve(stored.transaction_id)
    again = await shop.stored(stored.transaction_id)
    assert stored.metadata == '{"b": [1.50, {}], "a": "ß"}'
    assert (
        msgspec.structs.replace(
            again,
            status=stored.status,
            attempt=stored.attempt,
            code=None,
            finished_at=None,
            network_transaction_id=None,
            double_click_digest=stored.double_click_digest,  # needed no longer than the attempt is open
        )
        == stored
    )
    [subscribing] = stored.subscribing
    assert [str(each.offset) for each in subscribing.prices] == ["0d", "1m"]
