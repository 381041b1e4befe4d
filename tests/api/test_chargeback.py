"""Charge-backs over HTTP: as an issuer makes them in stage, as callbacks tell them, and as consumers repay them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest_asyncio
from tests.support.callbacks import open_endpoint
from tests.support.cardholders import REDIRECT_URL, ServedGateway, open_served_gateway
from tests.support.issuing import number_of
from tests.support.pages import attempt_all, work_until
from tests.support.payment_pages import PayPage
from tests.support.webshop import WebShop, card, clone_database, price

from tollhouse.ledger_check.verify import verify_ledger
from tollhouse.links.model import MAX_ATTEMPTS
from tollhouse.links.store import SWEEPS
from tollhouse.stage.demo import SITE_ID
from tollhouse.storage.database import Database
from tollhouse.storage.sweep import Sweeper
from tollhouse.worker.payments import import_all_disputes


async def charge_back(shop: WebShop, body: Any = None, **payment: Any) -> dict[str, Any]:
    """Pay and charge it back, and return the answer."""
    paid = (await shop.pay(shop.payment(**payment))).json()["payment"]
    answer = await shop.post(f"/stage/chargeback/{paid['transactionId']}", [] if body is None else body)
    assert answer.status_code == 201, answer.text
    content: dict[str, Any] = answer.json()
    return content


async def test_chargeback_is_equal_in_response_feed_and_callback(shop: WebShop) -> None:
    """The response, the lookup, the feed, the timeline and the signed callback are equal, without a subscription."""
    async with open_endpoint() as endpoint:
        url = {"ipnUrl": endpoint.url, "redirectUrl": REDIRECT_URL}
        content = await charge_back(shop, {"reason": "Fraud"}, url=url, metadata={"cart": 7})
        await attempt_all(shop)
    payment = content["payment"]
    assert (payment["mode"], payment["status"], payment["code"]) == ("chargebackFirst", "chargeback", "0")
    assert (payment["amount"], payment["amountUsd"], payment["action"]) == (19.99, 19.99, "chargeback")
    assert payment["description"] == "Fraud"
    assert "subscription" not in content
    transaction_id = payment["transactionId"]
    assert (await shop.get(f"/payment/{transaction_id}")).json() == content
    story = (await shop.get(f"/payment/{transaction_id}/timeline")).json()
    assert [entry["kind"] for entry in story["data"]][:2] == ["request", "state"], story
    assert story["data"][0]["facts"]["mode"] == "chargebackFirst"
    listed = (await shop.get("/feed/transactions?mode=chargebackFirst&status=chargeback")).json()
    assert transaction_id in json.dumps(listed)
    [seen] = [seen for seen in endpoint.seen if b'"chargebackFirst"' in seen.body]
    told = json.loads(seen.body)
    assert {name: told[name] for name in content} == content
    signature = hashlib.sha256(f"secret{transaction_id}chargeback".encode()).hexdigest()
    assert seen.headers["X-Signature"] == signature


async def test_chargeback_card_is_charged_back_after_three_days(shop: WebShop) -> None:
    """A sale or capture with the card is charged back once, three days later by the merchant's clock."""
    source = {"type": "card"} | card("charged_back")
    sold = (await shop.pay(shop.payment(source))).json()["payment"]
    held = (await shop.pay(shop.payment(source, sku=shop.sku(price(offset="5d"))))).json()["payment"]
    await shop.post(f"/payment/{held['transactionId']}/capture", {"amount": 5})
    other = {"type": "card"} | card()
    await shop.pay(shop.payment(other))

    async def count_after(days: int) -> int:
        await shop.execute("update merchant set clock_offset = make_interval(days => $1) where merchant_id = 1", days)
        return await import_all_disputes(shop.gateway.parts.disputes)

    assert [await count_after(days) for days in (0, 2, 3, 4)] == [0, 0, 2, 0]
    listed = (await shop.get("/feed/transactions?mode=chargebackFirst")).json()["data"]
    told = {
        entry["payment"]["orderId"]: (entry["payment"]["status"], entry["payment"]["code"], entry["payment"]["amount"])
        for entry in listed
    }
    assert told == {sold["orderId"]: ("chargeback", "0", 19.99), held["orderId"]: ("chargeback", "0", 5)}
    events = await shop.fetch("select body from event where kind = 'chargebackFirst'")
    assert len(events) == 2


FAULTY: list[tuple[Any, list[str]]] = [
    ({"amount": "x", "reason": "r" * 256}, ["reason", "amount"]),
    ({"amount": 0}, ["amount"]),
    ({"amount": ""}, ["amount"]),
    ({"amount": 5, "currency": "EUR"}, ["currency"]),
    ({"amuont": 5}, ["amuont"]),
    ({"mode": "chargeback"}, ["mode"]),
    ({"mode": "chargebackFirst", "won": True}, ["won"]),
    ({"mode": "chargebackRepresent", "won": True}, ["transactionId"]),
    ({"amount": 1.001}, ["amount"]),
    ({"reason": f"card {number_of('visa')}"}, ["reason"]),
]


async def test_faulty_chargeback_is_rejected(shop: WebShop) -> None:
    """Faults, a won dispute without a chargeback and unknown payments are rejected; nothing is stored."""
    paid = (await shop.pay()).json()["payment"]["transactionId"]
    before = await shop.count_rows()
    for body, paths in FAULTY:
        answer = await shop.post(f"/stage/chargeback/{paid}", body)
        assert (answer.status_code, list(answer.json()["errors"])) == (400, paths), answer.text
    for wanted in ("1", "x"):
        assert (await shop.post(f"/stage/chargeback/{wanted}", {})).status_code == 404
    assert (await shop.post(f"/stage/chargeback/{paid}", {}, key=shop.other.key)).status_code == 404
    assert (await shop.post(f"/stage/chargeback/{paid}", {}, key="")).status_code == 401
    assert await shop.count_rows() == before


STEPS: list[tuple[dict[str, Any], str]] = [
    ({"mode": "chargebackRetrieval"}, "retrieved"),
    ({"mode": "chargebackRepresent"}, "represented"),
    ({}, "chargeback"),
    ({"mode": "chargebackRepresent", "won": True}, "represented"),
    ({"mode": "chargebackSecond"}, "chargeback_2nd"),
    ({"mode": "chargebackCollector"}, "send_ca"),
]


async def is_all_posted(shop: WebShop) -> bool:
    """Tell whether all that is to be posted has been."""
    [row] = await shop.fetch(
        "select (select count(*) from event where url <> '')"
        " = (select count(distinct event_id) from delivery_attempt) as is_all"
    )
    return bool(row["is_all"])


async def test_stage_creates_every_step(shop: WebShop) -> None:
    """Each step has its own mode and status, and is posted; a won dispute only if requested."""
    async with open_endpoint() as endpoint:
        url = {"ipnUrl": endpoint.url, "redirectUrl": REDIRECT_URL}
        for asks in (False, True):
            if asks:
                await shop.put(f"/site/{shop.merchant.site_id}", {"extraEvents": ["dispute.won"]})
            paid = (await shop.pay(shop.payment(url=url, metadata={"asks": asks}))).json()["payment"]
            made = []
            for body, status in STEPS:
                answer = await shop.post(f"/stage/chargeback/{paid['transactionId']}", body)
                assert answer.status_code == 201, answer.text
                told = answer.json()["payment"]
                mode = body.get("mode", "chargebackFirst")
                assert (told["action"], told["mode"], told["status"]) == ("chargeback", mode, status)
                found = await shop.get(
                    f"/feed/transactions?orderId={paid['orderId']}&mode={mode}&status={told['status']}"
                )
                assert told in [event["payment"] for event in found.json()["data"]]
                made.append(told)
            await work_until(shop, partial(is_all_posted, shop))
            bodies = [json.loads(seen.body) for seen in endpoint.seen]
            posted = [body["payment"]["transactionId"] for body in bodies if body["metadata"] == {"asks": asks}]
            won = made[3]["transactionId"]
            expected = [paid["transactionId"], *(each["transactionId"] for each in made)]
            assert sorted(posted) == sorted(each for each in expected if asks or each != won)
    success = (await shop.get("/feed/transactions?status=success")).json()["data"]
    assert {event["payment"]["mode"] for event in success} == {"sale"}
    assert (await verify_ledger(shop.gateway.database)).violations == ()


async def test_notice_has_no_repayment_link(shop: WebShop) -> None:
    """A request for information took no money that could be repaid."""
    asked = (await charge_back(shop, {"mode": "chargebackRetrieval"}))["payment"]
    assert (await shop.get(f"/chargeback/{asked['transactionId']}/repaidLink")).status_code == 404


async def test_excess_amount_is_shown(shop: WebShop) -> None:
    """A chargeback beyond the remaining amount shows the excess in the response, the feed and the timeline."""
    paid = (await shop.pay()).json()["payment"]["transactionId"]
    await shop.post(f"/payment/{paid}/credit", {"reason": "Late", "amount": 15})
    taken = (await shop.post(f"/stage/chargeback/{paid}", {"amount": 19.99})).json()["payment"]
    assert (taken["amount"], taken["excessAmount"]) == (19.99, 15)
    [listed] = (await shop.get("/feed/transactions?mode=chargebackFirst")).json()["data"]
    assert listed["payment"] == taken
    story = (await shop.get(f"/payment/{taken['transactionId']}/timeline")).json()["data"]
    assert any(entry["facts"].get("excessAmount") == "15.00 USD" for entry in story)
    refused = await shop.post(f"/payment/{paid}/credit", {"reason": "Late"})
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["amount"])
    assert (await verify_ledger(shop.gateway.database)).violations == ()


async def test_repeated_chargeback_is_created_once(shop: WebShop) -> None:
    """A repeated request is the same chargeback, found by its request ID; another body is rejected."""
    paid = (await shop.pay()).json()["payment"]["transactionId"]
    headers = {"X-Request-ID": "back-1"}
    first, again, other = [
        await shop.post(f"/stage/chargeback/{paid}", body, headers=headers)
        for body in ({"amount": 5}, {"amount": 5}, {"amount": 6})
    ]
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotent-Replay"] == "true"
    assert other.status_code == 422
    found = (await shop.get("/feed/transactions?requestId=back-1")).text
    assert first.json()["payment"]["transactionId"] in found


async def test_only_chargebacks_have_a_link(shop: WebShop) -> None:
    """A link has `url` and `code`, the same each time; other transactions of this merchant have none."""
    payment = (await charge_back(shop))["payment"]
    path = f"/chargeback/{payment['transactionId']}/repaidLink"
    answers = await asyncio.gather(*(shop.get(path) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    [link] = {answer.text for answer in answers}
    assert set(json.loads(link)) == {"url", "code"}
    assert json.loads(link)["code"] == 0
    assert (await shop.get(path, key=shop.other.key)).status_code == 404
    assert (await shop.get(path, key="")).status_code == 401
    sale = (await shop.pay()).json()["payment"]["transactionId"]
    for wanted in (sale, "1", "x", "9" * 36):
        answer = await shop.get(f"/chargeback/{wanted}/repaidLink")
        assert answer.status_code == 404
        assert answer.json() == {"message": "Chargeback not found.", "errors": {}}
    [row] = await shop.fetch("select count(*) from payment_link")
    assert row[0] == 1


@pytest_asyncio.fixture
async def served(postgres_dsn: str, template: str) -> AsyncIterator[ServedGateway]:
    """A gateway that is served, whose pages can be paid, and its simulator."""
    async with clone_database(postgres_dsn, template) as dsn:
        database, simulated = [await Database.connect(dsn, schema=schema) for schema in ("gateway", "simulator")]
        async with open_served_gateway(database, simulated) as served:
            yield served
        await database.close()
        await simulated.close()


async def link_of(served: ServedGateway, transaction_id: str) -> Any:
    """Return the link of a charge-back."""
    answer = await served.get(f"/chargeback/{transaction_id}/repaidLink", Authorization=served.api_key)
    assert answer.status == 200, answer.text
    return answer.json


async def test_chargeback_is_repaid_once(served: ServedGateway) -> None:
    """The page charges the charged-back amount once, to the same consumer with the same metadata, and then says so."""
    body = {
        "paymentSource": {"type": "card", "number": number_of("visa"), "expirationMonth": "12", "expirationYear": "30"},
        "sku": {"siteId": str(SITE_ID), "title": "Premium", "price": [{"amount": 1999, "currency": "JPY"}]},
        "consumer": {"externalId": "user-7", "ip": "203.0.113.45", "firstName": "Jane", "lastName": "Smith"},
        "url": {"ipnUrl": "http://127.0.0.1:9/ipn", "redirectUrl": REDIRECT_URL},
        "metadata": {"order": 7},
    }
    paid = (await served.call("/payment", body)).json
    taken = await served.call(f"/stage/chargeback/{paid['payment']['transactionId']}", {"amount": 499})
    transaction_id = taken.json["payment"]["transactionId"]
    link = await link_of(served, transaction_id)
    page = PayPage(served, link["url"])
    shown = await page.open()
    assert shown.status == 200
    assert "Premium" in shown.text
    # It ran out, and is asked for again: the same page is good once more, and is never swept away.
    await served.fetch(
        "update payment_link set created_at = now() - interval '99 days', expires_at = now() - interval '31 days'"
    )
    await Sweeper(served.parts.database, SWEEPS).step()
    assert (await page.open()).status == 410
    assert await link_of(served, transaction_id) == link
    assert (await page.open()).status == 200
    # Cards are declined until no more may be tried: there is another page.
    for _ in range(MAX_ATTEMPTS):
        await page.pay("decline_05")
    assert (await page.open()).status == 410
    again = await link_of(served, transaction_id)
    assert again["url"] != link["url"]
    assert again["code"] == 0
    assert (await page.open()).status == 410
    await PayPage(served, again["url"]).pay()
    [row] = await served.fetch(
        "select body from event where kind = 'sale' and status = 'success' order by position desc limit 1"
    )
    repaid = json.loads(row["body"])
    assert (repaid["payment"]["amount"], repaid["payment"]["currency"]) == (499, "JPY")
    assert repaid["payment"]["orderId"] != paid["payment"]["orderId"]
    assert repaid["consumer"] == paid["consumer"]
    assert repaid["metadata"] == {"order": 7}
    assert await link_of(served, transaction_id) == {"url": "", "code": 1}
