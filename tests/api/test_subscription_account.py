"""Another card for a subscription: verified with its holder, and charged from then on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.issuing import number_of
from tests.support.subscribing import Subscriber, read, sign_up
from tests.support.webshop import IPN_URL, OpenShop, WebShop, card, consumer

from tollhouse.vault.keys import FileKeyProvider

KEYS = FileKeyProvider({1: bytes(range(32))}, bytes(range(32, 64)))
NEW = "mastercard"


async def refused(answer: Any, *paths: str, status: int = 400) -> dict[str, list[str]]:
    """Check a refusal: its status and that it names these fields and no others."""
    assert answer.status_code == status, answer.text
    errors: dict[str, list[str]] = answer.json()["errors"]
    assert set(errors) == set(paths), answer.text
    return errors


async def verifications(shop: WebShop) -> int:
    """Count the verifications that were begun."""
    [row] = await shop.fetch("select count(*) from transaction where amount_minor = 0")
    return int(row[0])


async def renewed_with(subscriber: Subscriber) -> str:
    """Let the next charge fall due, and return the number of the card that paid it."""
    await subscriber.renew(days=30, minutes=1)
    [row] = await subscriber.shop.fetch(
        "select t.masked_number as number from renewal r join transaction t using (merchant_id, transaction_id) "
        "where r.subscription_id = $1 and r.state = 'paid' order by r.period desc limit 1",
        int(subscriber.subscription_id),
    )
    return str(row["number"])


async def test_verified_card_replaces_the_old_one(shop: WebShop) -> None:
    """The answer is that of a payment of nothing, with the subscription and the sign-up's metadata in it."""
    subscriber = await sign_up(shop, metadata={"order": 7})
    answer = await subscriber.change_card()
    told = read(answer)
    assert set(told) == {"payment", "consumer", "subscription", "metadata"}
    payment = told["payment"]
    assert (payment["status"], payment["code"], payment["mode"], payment["amount"]) == ("success", "0", "auth", 0)
    assert payment["apiPaymentSource"] == "card"
    assert (told["subscription"], told["metadata"]) == (subscriber.answer["subscription"], {"order": 7})
    assert told["consumer"]["id"] == subscriber.answer["consumer"]["id"]
    looked = await shop.get(f"/payment/{payment['transactionId']}")
    assert looked.json()["subscription"] == told["subscription"]
    assert await renewed_with(subscriber) == payment["source"]["number"]


@pytest.mark.parametrize(
    "body", [{}, {"consumer": []}, {"consumer": {}}, {"consumer": {"firstName": "Joan", "ip": "::1"}}]
)
async def test_consumer_fields_are_optional(shop: WebShop, body: dict[str, Any]) -> None:
    """Clients send an empty consumer or none; what is sent of one stands in the answer."""
    subscriber = await sign_up(shop)
    told = read(await subscriber.change_card(body=body))["consumer"]
    assert told["firstName"] == ("Joan" if body.get("consumer") else "Jane")


async def test_every_card_source_is_accepted(shop: WebShop) -> None:
    """Every card source can become that of a subscription."""
    buyer = consumer()
    subscriber = await sign_up(shop, consumer=buyer)
    other = (await shop.pay(shop.payment({"type": "card"} | card(NEW), consumer=buyer))).json()
    account, consumer_id = other["payment"]["source"]["paymentAccountId"], other["consumer"]["id"]
    created = await shop.post(
        "/tokenizeWithPaymentAccountId",
        {"paymentAccountId": account, "consumerId": consumer_id, "cvv": "009"},
        headers={"x-requested-with": "XMLHttpRequest"},
    )
    for source in (
        {"type": "token", "token": await shop.token(NEW)},
        {"type": "token", "value": created.json()["token"]},
        {"type": "consumer", "id": consumer_id},
        {"type": "paymentAccountId", "paymentAccountId": account},
        {"type": "paymentAccountIdWithCvv", "paymentAccountId": account, "cvv": "009"},
        {"type": "cc_token"},
        {"type": "card", "threeDS": False, "mid": "123", "emulateCode": "0000"} | card(NEW, zip=None),
    ):
        told = read(await subscriber.change_card(source))["payment"]
        assert (told["status"], told["apiPaymentSource"]) == ("success", source["type"]), source
    assert (await renewed_with(subscriber))[-4:] == number_of(NEW)[-4:]


async def test_declined_card_keeps_the_old_one(shop: WebShop) -> None:
    """A decline is an answer too, and the subscription keeps its card."""
    subscriber = await sign_up(shop)
    told = read(await subscriber.change_card({"type": "card"} | card("decline_05")))
    assert (told["payment"]["status"], told["payment"]["code"]) == ("fail", "5005")
    assert told["subscription"] == subscriber.answer["subscription"]
    assert (await renewed_with(subscriber))[-4:] == number_of("visa")[-4:]


async def test_lost_response_is_pending(shop: WebShop) -> None:
    """While nobody knows whether the card was verified the answer is pending, with the subscription as it is."""
    subscriber = await sign_up(shop)
    told = read(await subscriber.change_card({"type": "card"} | card("lost_answer")))
    assert told["payment"]["status"] == "pending"
    assert told["subscription"] == subscriber.answer["subscription"]


async def test_slow_response_is_pending(opened: OpenShop) -> None:
    """When the bank thinks for long the answer is pending too, with the subscription in it."""
    shop = await opened(answer_seconds=0.2)
    subscriber = await sign_up(shop)
    told = read(await subscriber.change_card({"type": "card"} | card("slow")))
    assert told["payment"]["status"] == "pending"
    assert told["subscription"] == subscriber.answer["subscription"]


async def test_new_card_retries_a_past_due_charge(shop: WebShop) -> None:
    """A subscription that waits for a new card is charged as soon as it has one."""
    subscriber = await sign_up(shop)
    read(await subscriber.change_card({"type": "card", "emulateCode": "0000"} | card("decline_54")))
    await subscriber.renew(days=30, minutes=1)
    assert (await subscriber.get())["status"] == "past_due"
    assert "nextTry" not in (await subscriber.upcoming())[0]
    assert read(await subscriber.change_card())["subscription"]["status"] == "past_due"
    await subscriber.renew(minutes=1)
    now = await subscriber.get()
    assert (now["status"], now["cycle"]) == ("active", 1)


async def test_repeated_change_gets_the_first_response(shop: WebShop) -> None:
    """A repeat has the first answer; the same id for something else is refused, and free for a payment."""
    subscriber, other = await sign_up(shop), await sign_up(shop)
    headers = {"X-Request-ID": "change-1"}
    first = await subscriber.change_card(headers=headers)
    again = await subscriber.change_card(headers=headers)
    assert (again.status_code, again.content) == (200, first.content)
    assert ("Idempotent-Replay" in first.headers, again.headers["Idempotent-Replay"]) == (False, "true")
    assert await verifications(shop) == 1
    assert (await other.change_card(headers=headers)).status_code == 422
    assert (await subscriber.change_card({"type": "card"} | card("visa"), headers=headers)).status_code == 422
    faulty = await subscriber.change_card({"type": "token", "token": "x" * 36}, headers=headers)
    assert faulty.status_code == 422
    assert (await shop.pay(headers=headers)).status_code == 201
    assert await verifications(shop) == 1
    found = (await shop.get("/feed/transactions?requestId=change-1")).json()["data"]
    assert len(found) == 2


async def test_repeat_with_a_used_token_gets_the_first_response(shop: WebShop) -> None:
    """A repeat is known though its token is used; with another id it is refused."""
    subscriber = await sign_up(shop)
    source = {"type": "token", "token": await shop.token(NEW)}
    first = await subscriber.change_card(source, headers={"X-Request-ID": "a"})
    assert (await subscriber.change_card(source, headers={"X-Request-ID": "a"})).content == first.content
    await refused(await subscriber.change_card(source, headers={"X-Request-ID": "b"}), "paymentSource.token")


async def test_one_of_two_concurrent_changes_is_made(opened: OpenShop) -> None:
    """A request that comes to two nodes at the same time is one verification, and both have its answer."""
    first, second = await opened(keys=KEYS), await opened(keys=KEYS)
    subscriber = await sign_up(first)
    other = Subscriber(second, subscriber.answer)
    headers = {"X-Request-ID": "both"}
    answers = await asyncio.gather(*(each.change_card(headers=headers) for each in (subscriber, other) * 2))
    assert {answer.content for answer in answers} == {answers[0].content}
    assert {answer.status_code for answer in answers} == {200}
    assert await verifications(first) == 1


async def test_card_of_another_consumer_is_rejected(shop: WebShop) -> None:
    """A stored card of another consumer is refused however it is named, and so is another consumer."""
    subscriber = await sign_up(shop)
    theirs = (await shop.pay()).json()
    account, consumer_id = theirs["payment"]["source"]["paymentAccountId"], theirs["consumer"]["id"]
    for source in (
        {"type": "paymentAccountId", "paymentAccountId": account},
        {"type": "consumer", "value": consumer_id},
    ):
        await refused(await subscriber.change_card(source), "paymentSource")
    await refused(await subscriber.change_card(body={"consumer": {"id": consumer_id}}), "consumer.id")
    for own in (subscriber.answer["consumer"]["id"], subscriber.answer["consumer"]["externalId"]):
        read(await subscriber.change_card(body={"consumer": {"id": own}}))


async def test_every_fault_is_named(shop: WebShop) -> None:
    """Faults of the body and of what it points at are named together, and nothing is begun."""
    subscriber = await sign_up(shop)
    source = {"type": "card", "mid": "no-such", "initiator": "merchant", "mpiParameters": {"authStatus": "Y"}}
    answer = await subscriber.change_card(
        source | card(number="4024007179366349"),
        body={"consumer": {"ip": "x", "birthday": "tomorrow", "id": "nobody"}},
        headers={"X-Request-ID": "not one word"},
    )
    await refused(
        answer,
        "paymentSource.number", "paymentSource.mid", "paymentSource.initiator",
        "paymentSource.mpiParameters.cavv", "paymentSource.mpiParameters.eci",
        "consumer.ip", "consumer.birthday", "consumer.id", "X-Request-ID",
    )  # fmt: skip
    await refused(await subscriber.put("/paymentAccount", []), "paymentSource")
    sources: list[Any] = [[], {"type": "sepa"}]
    for nothing in sources:
        await refused(await subscriber.put("/paymentAccount", {"paymentSource": nothing}), "paymentSource.type")
    assert await verifications(shop) == 0


@pytest.mark.parametrize("part", ["consumer", "metadata", "sku", "url", "emailOptions"])
async def test_misplaced_card_number_is_rejected(shop: WebShop, part: str) -> None:
    """The number of the new card stands nowhere else in the request, whatever the source is."""
    subscriber = await sign_up(shop)
    body = {part: {"email": f"note {number_of(NEW)}"}}
    await refused(await subscriber.change_card(body=body), f"{part}.email")
    token = {"type": "token", "token": await shop.token(NEW)}
    await refused(await subscriber.change_card(token, body=body), f"{part}.email")
    assert await verifications(shop) == 0


async def test_disabled_site_accepts_a_new_card(shop: WebShop) -> None:
    """A site that sells no more still has its subscriptions, and these can have another card."""
    subscriber = await sign_up(shop)
    await shop.put(f"/site/{shop.merchant.site_id}", {"status": False})
    assert read(await subscriber.change_card())["payment"]["status"] == "success"


async def test_change_of_card_has_a_callback(shop: WebShop) -> None:
    """The verification is an event like any other, with the subscription in it, at the sign-up's address."""
    subscriber = await sign_up(shop)
    told = read(await subscriber.change_card())
    [row] = await shop.fetch(
        "select url, convert_from(body, 'UTF8')::jsonb ->> 'subscription' as subscription, status from event "
        "where transaction_id = $1",
        int(told["payment"]["transactionId"]),
    )
    assert (row["url"], row["status"]) == (IPN_URL, "success")
    assert subscriber.subscription_id in row["subscription"]


async def test_live_rejects_emulated_codes_and_expired_cards(opened: OpenShop) -> None:
    """In live no code can be asked for, and an expired card is refused."""
    live = await opened(environment="live")
    urls = {"ipnUrl": "https://shop.example/ipn", "redirectUrl": "https://shop.example/thanks"}
    subscriber = await sign_up(live, url=urls, paymentSource={"type": "card"} | card(expirationYear="40"))
    answer = await subscriber.change_card({"type": "card", "emulateCode": "0000"} | card(NEW))
    await refused(answer, "paymentSource.emulateCode", "paymentSource.expirationYear")
