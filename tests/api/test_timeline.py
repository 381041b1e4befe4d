"""The timeline: what it tells of each kind of payment, in which order, and what it never tells."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.cardholders import ServedGateway, open_served_gateway
from tests.support.clock import leap
from tests.support.issuing import number_of
from tests.support.pages import attempt_all
from tests.support.subscribing import sign_up
from tests.support.webshop import WebShop, card

from tollhouse.payments.resolve.resolve_attempts import resolve_attempt
from tollhouse.storage.database import Database


@pytest.fixture
async def served(database: Database, simulator_database: Database) -> AsyncIterator[ServedGateway]:
    """A gateway that is served, and its simulator."""
    async with open_served_gateway(database, simulator_database) as served:
        yield served


async def read(shop: WebShop, transaction_id: str) -> list[dict[str, Any]]:
    """Return the entries, having checked that they are in order."""
    answer = await shop.get(f"/payment/{transaction_id}/timeline")
    assert answer.status_code == 200, answer.text
    content = answer.json()
    assert content["transactionId"] == transaction_id
    entries: list[dict[str, Any]] = content["data"]
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)
    return entries


def kinds_of(entries: list[dict[str, Any]]) -> list[str]:
    """What the entries are about."""
    return [entry["kind"] for entry in entries]


async def test_timeline_of_an_approved_payment_has_every_step(shop: WebShop) -> None:
    """Request, route, acquirer messages, outcome, ledger and callback are listed, without rows of their own."""
    answer = await shop.pay(headers={"X-Request-ID": "first"})
    await attempt_all(shop)
    entries = await read(shop, answer.json()["payment"]["transactionId"])
    assert kinds_of(entries) == [
        "request",
        "route",
        "acquirer",
        "acquirer",
        "state",
        "ledger",
        "callback",
        "callback",
    ]
    assert entries[0]["text"] == "A sale of 19.99 USD was requested"
    assert entries[0]["facts"]["requestId"] == "first"
    assert entries[3]["facts"]["state"] == "approved"
    assert entries[3]["facts"]["approvalCode"]
    assert entries[5]["facts"] == {"debit": "money.acquirers", "credit": "money.merchants", "amount": "19.99 USD"}
    assert entries[7]["facts"]["error"] == "connect_failed"
    assert await shop.fetch("select from attempt_step") == []


async def test_timeline_of_a_decline_has_its_reason(shop: WebShop) -> None:
    """A decline has the issuer's code and its meaning, and no ledger entries."""
    answer = await shop.pay(shop.payment({"type": "card"} | card("decline_51")))
    entries = await read(shop, answer.json()["payment"]["transactionId"])
    assert kinds_of(entries) == ["request", "route", "acquirer", "acquirer", "state"]
    assert entries[3]["facts"]["responseCode"] == "51"
    assert (entries[4]["facts"]["code"], entries[4]["facts"]["codeCategory"]) == ("5051", "2")


async def test_timeline_shows_no_response_of_an_acquirer_without_the_request(shop: WebShop) -> None:
    """An acquirer that never received the request, or did not know it after a crash, has no response listed."""
    answer = await shop.pay(shop.payment({"type": "card"} | card("decline_51")))
    await shop.execute("update closed_attempt set response_code = null")
    entries = await read(shop, answer.json()["payment"]["transactionId"])
    told = [entry["text"] for entry in entries if entry["kind"] == "acquirer"]
    assert told == ["Acquirer simulated gets the request", "Acquirer simulated was not reached"]


async def test_timeline_of_a_blocked_payment_has_no_acquirer(shop: WebShop) -> None:
    """A payment blocked by our rules has no acquirer request."""
    bought = (await shop.pay()).json()["payment"]
    account = bought["source"]["paymentAccountId"]
    await shop.execute("update account set disabled = true")
    source = {"type": "paymentAccountId", "paymentAccountId": account}
    refused = (await shop.pay(shop.payment(source, consumer={"ip": "203.0.113.45"}))).json()["payment"]
    assert refused["code"] == "1020"
    entries = await read(shop, refused["transactionId"])
    assert kinds_of(entries) == ["request", "rule", "state"]
    assert entries[1]["facts"]["code"] == "1020"


async def test_timeline_of_a_lost_response_has_every_inquiry(shop: WebShop) -> None:
    """The missing response, each inquiry without a result, and the resolved outcome are listed with their times."""
    answer = await shop.pay(shop.payment({"type": "card"} | card("lost_answer")))
    block = answer.json()["payment"]
    assert block["status"] == "pending"
    before = await read(shop, block["transactionId"])
    assert [entry["facts"].get("to") for entry in before if entry["kind"] == "acquirer"] == ["unknown"]
    await resolve_attempt(shop.gateway.parts.attempts, merchant_id=1, transaction_id=int(block["transactionId"]))
    entries = await read(shop, block["transactionId"])
    told = [entry["facts"].get("to") for entry in entries if entry["kind"] == "acquirer"]
    assert told == ["unknown", "approved"]
    assert kinds_of(entries)[-2:] == ["state", "ledger"]


@pytest.mark.parametrize("browser", [True, False])
async def test_a_soft_decline_comes_before_its_challenge(served: ServedGateway, *, browser: bool) -> None:
    """The soft decline of an issuer is listed before the authentication that it requires."""
    answer = await served.pay("challenge", browser=browser, three_ds=False)
    assert answer.json["payment"]["action"] == "redirect"
    await served.call(f"/stage/3ds/{answer.json['payment']['orderId']}", {"result": "pass"})
    path = f"/payment/{answer.json['payment']['transactionId']}/timeline"
    texts = [entry["text"] for entry in (await served.get(path, Authorization=served.api_key)).json["data"]]
    declined = texts.index("The acquirer requires authentication of the cardholder")
    assert texts.index("Acquirer simulated gets the request") < declined < texts.index("Authentication begins")
    assert (
        declined < texts.index("The Directory Server gets the request (AReq)") < texts.index("It is finished: success")
    )
    assert texts.count("The acquirer requires authentication of the cardholder") == 1
    assert not [text for text in texts if text.endswith("answered: declined")]


async def test_timeline_of_a_challenge_has_its_messages(served: ServedGateway) -> None:
    """The messages of 3-D Secure are listed in order without the proof, then the response of the acquirer."""
    answer = await served.pay("challenge", browser=True)
    order_id = answer.json["payment"]["orderId"]
    await served.call(f"/stage/3ds/{order_id}", {"result": "pass"})
    path = f"/payment/{answer.json['payment']['transactionId']}/timeline"
    told = await served.get(path, Authorization=served.api_key)
    entries = told.json["data"]
    texts = [entry["text"] for entry in entries if entry["kind"] == "3ds"]
    assert texts == [
        "Authentication begins",
        "The Directory Server gets the request (AReq)",
        "The Directory Server responded: a challenge (ARes)",
        "Authentication passed (RReq)",
    ]
    [result] = [entry for entry in entries if entry["text"] == texts[-1]]
    assert result["facts"]["transStatus"] == "Y"
    assert [entry["facts"].get("to") for entry in entries if entry["kind"] == "acquirer"][:2] == [
        "challenged",
        "in_flight",
    ]
    async with served.gateway.database.acquire() as connection:
        cavv = await connection.fetchval("select cavv from authentication where cavv is not null")
    whole = json.dumps(told.json)
    assert cavv
    assert cavv not in whole
    assert number_of("challenge") not in whole


async def test_operation_has_its_own_timeline(shop: WebShop) -> None:
    """A credit has the transaction that it acts on, its reason and its ledger entries."""
    bought = (await shop.pay()).json()["payment"]["transactionId"]
    answer = await shop.post(f"/payment/{bought}/credit", {"reason": "came late", "amount": 5})
    entries = await read(shop, answer.json()["payment"]["transactionId"])
    assert entries[0]["facts"]["actsOn"] == bought
    assert entries[0]["facts"]["reason"] == "came late"
    assert [entry["facts"]["debit"] for entry in entries if entry["kind"] == "ledger"] == ["money.credits"]


async def test_timeline_of_a_renewal_names_the_subscription(shop: WebShop) -> None:
    """A renewal has its subscription, period and attempt; the verification of a new card has its subscription."""
    subscriber = await sign_up(shop)
    changed = await subscriber.change_card({"type": "card", "emulateCode": "0000"} | card("decline_51"))
    [request, *_] = await read(shop, changed.json()["payment"]["transactionId"])
    assert request["facts"]["subscriptionId"] == subscriber.subscription_id
    assert request["text"].endswith(f"verifies another card for subscription {subscriber.subscription_id}")
    await subscriber.renew(days=30, minutes=1)
    await subscriber.renew(days=1)
    rows = await shop.fetch("select transaction_id from renewal order by try")
    told = [(await read(shop, str(row["transaction_id"])))[0] for row in rows]
    names = ("subscriptionId", "period", "renewalTry")
    assert [[entry["facts"][name] for name in names] for entry in told] == [
        [subscriber.subscription_id, "1", "1"],
        [subscriber.subscription_id, "1", "2"],
    ]
    assert "attempt 2" in told[1]["text"]
    [plain, *_] = await read(shop, subscriber.answer["payment"]["transactionId"])
    assert "subscriptionId" not in plain["facts"]


async def test_timeline_of_another_merchant_is_404(shop: WebShop) -> None:
    """IDs of other merchants and malformed ones are 404; without a key the response is 401."""
    transaction_id = (await shop.pay()).json()["payment"]["transactionId"]
    path = f"/payment/{transaction_id}/timeline"
    assert (await shop.get(path, key=shop.other.key)).status_code == 404
    assert (await shop.get(path, key="x")).status_code == 401
    answers = await asyncio.gather(*(shop.get(f"/payment/{text}/timeline") for text in ("0", "x", "1" * 25)))
    assert {answer.status_code for answer in answers} == {404}


async def test_timeline_follows_the_virtual_clock(shop: WebShop) -> None:
    """All entries are in order, in the merchant's time; those that other logs have also show the real time."""
    await leap(shop.gateway.database, shop.merchant.merchant_id, shop.gateway.parts.clock, days=30)
    answer = await shop.pay()
    await attempt_all(shop)
    await leap(shop.gateway.database, shop.merchant.merchant_id, shop.gateway.parts.clock, days=30)
    entries = await read(shop, answer.json()["payment"]["transactionId"])
    assert kinds_of(entries) == ["request", "route", "acquirer", "acquirer", "state", "ledger", "callback", "callback"]
    now = datetime.now(UTC)
    for entry in entries:
        ahead = datetime.fromisoformat(entry["at"]) - now
        assert timedelta(days=29, hours=23) < ahead < timedelta(days=30, hours=1)
    told = [entry["facts"]["realTime"] for entry in entries if "realTime" in entry["facts"]]
    assert len(told) == 2
    assert all(abs(datetime.fromisoformat(at) - now) < timedelta(hours=1) for at in told)
