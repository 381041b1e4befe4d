"""`emailOptions`: a letter for a payment that was taken, when one was requested, and never otherwise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.pages import work_until
from tests.support.webshop import card, consumer, price

if TYPE_CHECKING:
    from tests.support.webshop import OpenShop, WebShop

#: The shortest request for a receipt.
YES = True


async def letters(shop: WebShop) -> list[Any]:
    """Return the letters that were written."""
    return await shop.fetch("select * from notice order by transaction_id")


async def pay(shop: WebShop, options: Any, **changes: Any) -> Any:
    """Pay with these options, each time for something else."""
    answer = await shop.pay(shop.payment(emailOptions=options, **{"consumer": consumer()} | changes))
    assert answer.status_code == 201, answer.text
    return answer.json()["payment"]


@pytest.mark.parametrize(
    ("options", "language"),
    [
        (True, "en"),
        ("true", "en"),
        (1, "en"),
        ({"send": True}, "en"),
        ({"send": "1", "anything": {"else": 1}}, "en"),
        ({"language": "de-AT"}, "de-AT"),
        ({"to": ""}, "en"),
    ],
)
async def test_requested_receipt_is_stored(shop: WebShop, options: Any, language: str) -> None:
    """Each form that requests a receipt stores one for the consumer, about this payment."""
    payment = await pay(shop, options)
    [letter] = await letters(shop)
    facts = json.loads(letter["facts"])
    assert (letter["recipient"], letter["language"], letter["state"]) == ("jane@shop.example", language, "waiting")
    assert str(letter["transaction_id"]) == facts["transaction_id"] == payment["transactionId"]
    assert (facts["kind"], facts["shop"], facts["descriptor"]) == ("receipt", "shop1.example", "SHOP 1")
    assert (facts["amount_minor"], facts["currency"], facts["title"]) == (1999, "USD", "Premium Monthly")
    assert facts["masked_number"] == "402400****6348"


@pytest.mark.parametrize(
    "options", [None, False, "false", 0, "", {}, [], {"send": False}, {"send": "0", "to": "a@b.io"}]
)
async def test_no_receipt_without_a_request(shop: WebShop, options: Any) -> None:
    """A payment that requests no receipt has none."""
    await pay(shop, options)
    assert not await letters(shop)


async def test_receipt_goes_to_the_requested_or_known_address(shop: WebShop) -> None:
    """A receipt goes to the requested address, else to the consumer's; without a valid one the payment continues."""
    await pay(shop, {"to": "accounts@firm.example"})
    await pay(shop, YES, consumer=consumer(browserLanguage="fr", email="jean@shop.example"))
    await pay(shop, YES, consumer=consumer(email=" hans@müller.example "))
    await pay(shop, {"to": "anna@Straße.example"})
    for email in (None, "", "jané@shop.example", "jane", "x" * 255, "jane@xn--.example", "jane@" + "ü" * 250):
        await pay(shop, YES, consumer=consumer(email=email))
    for to in ("jane", "a@b.example, c@d.example", "a@b.example\r\nBcc: c@d.example"):
        await pay(shop, {"to": to})
    assert [(letter["recipient"], letter["language"]) for letter in await letters(shop)] == [
        ("accounts@firm.example", "en"),
        ("jean@shop.example", "fr"),
        ("hans@xn--mller-kva.example", "en"),
        ("anna@xn--strae-oqa.example", "en"),
    ]


async def test_receipt_goes_to_the_known_address(shop: WebShop) -> None:
    """A known consumer without an address gets receipts at the address of the first payment."""
    first = await shop.pay()
    source = {"type": "consumer", "id": first.json()["consumer"]["id"]}
    answer = await shop.pay(shop.payment(source, emailOptions=True, consumer={"ip": "203.0.113.45"}))
    assert answer.json()["payment"]["status"] == "success"
    assert [letter["recipient"] for letter in await letters(shop)] == ["jane@shop.example"]


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        ("yes", {"emailOptions"}),
        (2, {"emailOptions"}),
        ([1], {"emailOptions"}),
        ({"to": "x" * 256, "language": "x"}, {"emailOptions.to", "emailOptions.language"}),
        ({"send": "perhaps"}, {"emailOptions.send"}),
    ],
)
async def test_faults_are_named(shop: WebShop, options: Any, faults: set[str]) -> None:
    """A faulty field is named by its path, with all other faults, and nothing is charged."""
    answer = await shop.pay(shop.payment(emailOptions=options, consumer={"firstName": "Jane", "lastName": "Smith"}))
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == faults | {"consumer.ip"}


async def test_only_moved_money_has_a_receipt(shop: WebShop) -> None:
    """Declined, challenged, authorized and verified payments have no receipt; captures and refunds have one."""
    assert (await pay(shop, YES, paymentSource={"type": "card"} | card("decline_05")))["status"] == "fail"
    assert (await pay(shop, YES, paymentSource={"type": "card", "3ds": True} | card("challenge")))[
        "status"
    ] == "pending"
    assert (await pay(shop, YES, sku=shop.sku(price(0))))["mode"] == "auth"
    held = await pay(shop, YES, sku=shop.sku(price(10, offset="3d")))
    assert (held["mode"], held["status"]) == ("auth", "success")
    assert not await letters(shop)
    captured = await shop.post(f"/payment/{held['transactionId']}/capture", {"amount": 6})
    assert captured.json()["payment"]["status"] == "success", captured.text
    credited = await shop.post(f"/payment/{held['transactionId']}/credit", {"amount": 2, "reason": "returned"})
    assert credited.json()["payment"]["status"] == "success", credited.text
    told = [json.loads(letter["facts"]) for letter in await letters(shop)]
    assert [(facts["kind"], facts["amount_minor"]) for facts in told] == [("receipt", 600), ("refund", 200)]


async def test_resolved_outcome_has_a_receipt(opened: OpenShop) -> None:
    """A resolved outcome has a receipt, once."""
    shop = await opened(acquirer_timeout_seconds=0.3, resolver_margin_seconds=1)
    payment = await pay(shop, YES, paymentSource={"type": "card"} | card("lost_answer"))
    assert payment["status"] == "pending"
    assert not await letters(shop)

    async def is_written() -> bool:
        return len(await letters(shop)) == 1

    await work_until(shop, is_written)


async def test_repeat_stores_no_second_receipt(shop: WebShop) -> None:
    """The same request twice is one payment and one email."""
    body = shop.payment(emailOptions=True)
    for _ in range(2):
        await shop.pay(body, headers={"X-Request-ID": "one"})
    assert len(await letters(shop)) == 1


async def test_live_without_a_mail_server_stores_none(opened: OpenShop) -> None:
    """Emails that cannot be sent are not stored, with their addresses."""
    for settings, count in (
        ({}, 0),
        ({"smtp_url": "smtp://mail.example", "smtp_from": "receipts@pay.example"}, 1),
    ):
        live = await opened(environment="live", **settings)
        urls = {"ipnUrl": "https://shop.example/ipn", "redirectUrl": "https://shop.example/thanks"}
        source = {"type": "card"} | card(expirationYear="40")
        await pay(live, YES, url=urls, paymentSource=source)
        assert len(await letters(live)) == count


async def test_worker_sends_emails(shop: WebShop) -> None:
    """In stage an email is sent to the inbox within a moment."""
    await pay(shop, YES)

    async def is_sent() -> bool:
        return [letter["state"] for letter in await letters(shop)] == ["sent"]

    await work_until(shop, is_sent)
