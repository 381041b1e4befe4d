"""The public form of a payment."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.payments import CREATED_AT, item, payment

from tollhouse.acquirers.model import Approved, Declined, Unknown
from tollhouse.catalog.model import Offset, Price, Tax
from tollhouse.catalog.prices import parse_offset
from tollhouse.kernel.money import Currency, Money
from tollhouse.payments import lifecycle
from tollhouse.payments.model import Payment, Subscribing
from tollhouse.payments.reading.view import render_event, render_response
from tollhouse.wire.answers import PaymentEvent


def read(body: bytes) -> Any:
    """Decode a body with exact amounts."""
    return json.loads(body, parse_float=Decimal)


def approved(**changes: Any) -> Payment:
    """Return an approved payment."""
    return lifecycle.apply(payment(**changes), Approved("A1", "N1"), CREATED_AT)


def subscribing(first: str = "30d", *, number: int = 1_000_001, now: int = 1999, **changes: Any) -> Subscribing:
    """Return a schedule with a charge now and a later one."""
    usd = Currency.of("USD")
    prices = (
        Price(parse_offset("0d"), Money(now, usd), repeat=False),
        Price(parse_offset(first), Money(1999, usd), repeat=True),
    )
    return Subscribing(number, item(*prices, **changes))


def test_an_approved_payment_has_exactly_these_keys() -> None:
    """The response has these keys, and no value is None."""
    assert read(render_response(approved())) == {
        "payment": {
            "code": "0",
            "description": "APPROVED",
            "action": "charge",
            "mode": "sale",
            "status": "success",
            "amount": Decimal("19.99"),
            "currency": "USD",
            "amountUsd": Decimal("19.99"),
            "orderId": "100000000",
            "transactionId": "10000000",
            "descriptor": "SHOP",
            "apiPaymentSource": "card",
            "source": {
                "method": "card",
                "number": "402400****6348",
                "brand": "visa",
                "paymentAccountId": "00000000-0000-0000-0000-000000000007",
                "expirationMonth": 12,
                "expirationYear": 29,
                "disabled": False,
            },
            "timestamp": {"dateTime": "2026-01-02 03:04:05", "timezone": "+00:00", "unixTime": 1767323045},
        },
        "consumer": {"id": "c" + "0" * 24, "externalId": "user-1", "firstName": "Jane", "blocked": False},
        "metadata": {},
    }


def test_a_pending_payment_promises_nothing() -> None:
    """An open payment has code 0 and the status `pending`; with a URL its action is `redirect`."""
    block = read(render_response(payment()))["payment"]
    assert (block["code"], block["status"], block["action"], block["description"]) == (
        "0",
        "pending",
        "charge",
        "PENDING",
    )
    block = read(render_response(payment(), url="http://127.0.0.1:9/3ds/x"))["payment"]
    assert (block["status"], block["action"], block["url"]) == ("pending", "redirect", "http://127.0.0.1:9/3ds/x")


def test_a_declined_payment_has_its_category() -> None:
    """A decline has its code, text and category."""
    declined = lifecycle.apply(payment(), Declined("51"), CREATED_AT)
    block = read(render_response(declined))["payment"]
    assert (block["status"], block["code"], block["codeCategory"]) == ("fail", "5051", 2)
    assert block["description"] == "Insufficient funds"


def test_an_unknown_outcome_is_pending() -> None:
    """A payment that may have been approved is never shown as failed."""
    silent = lifecycle.apply(payment(), Unknown("silence"), CREATED_AT)
    assert render_response(silent) == render_response(payment())


@pytest.mark.parametrize(
    ("minor", "code", "text"),
    [
        (1999, "USD", "19.99"),
        (1000, "USD", "10"),
        (990, "USD", "9.9"),
        (1000, "JPY", "1000"),
        (1, "KWD", "0.001"),
        (0, "EUR", "0"),
    ],
)
def test_amounts_are_exact_numbers(minor: int, code: str, text: str) -> None:
    """Amounts are JSON numbers with their own digits, also in US dollars if the rate is known."""
    rate = Decimal(1) if code == "USD" else None
    body = render_response(payment(money=Money(minor, Currency.of(code)), usd_per_unit=rate))
    assert f'"amount":{text},'.encode() in body
    assert (b"amountUsd" in body) is (code == "USD")


def test_subscriptions_appear_with_approval() -> None:
    """A subscription is shown from its approval on: active after a charge, `trial` without one."""
    assert "subscription" not in read(render_response(payment(subscribing=(subscribing(),))))
    block = read(render_response(approved(subscribing=(subscribing(),))))["subscription"]
    assert (block["status"], block["renewalDate"], block["cycle"]) == ("active", "2026-02-01 03:04:05", 0)
    free = approved(subscribing=(subscribing("1m", now=0),), money=Money(0, Currency.of("USD")))
    assert read(render_response(free))["subscription"]["status"] == "trial"
    assert read(render_response(free))["subscription"]["renewalDate"] == "2026-02-02 03:04:05"


def test_a_bundle_lists_all_subscriptions() -> None:
    """A bundle lists all its subscriptions, and shows the first one also as `subscription`."""
    several = (subscribing(), subscribing("7d", number=1_000_002, now=0, site_id=200, sku_name="WEEKLY"))
    answer = read(render_response(approved(subscribing=several)))
    first, second = answer["subscriptions"]
    assert answer["subscription"] == first
    assert (first["id"], first["siteId"], first["status"]) == ("1000001", "100", "active")
    assert (second["id"], second["siteId"], second["status"], second["skuName"]) == (
        "1000002", "200", "trial", "WEEKLY",
    )  # fmt: skip
    assert "subscriptions" not in read(render_response(approved(subscribing=several[:1])))


def test_taxes_are_summed() -> None:
    """`vat` is the sum of the taxes due at once, also in US dollars; without taxes there is no `vat`."""
    euro = Currency.of("EUR")
    at_once = Offset(0, "d")
    now = [
        Price(at_once, Money(1200, euro), repeat=False, tax=Tax(200)),
        Price(at_once, Money(600, euro), repeat=False),
    ]
    later = Price(Offset(30, "d"), Money(2400, euro), repeat=True, tax=Tax(400))
    sold = {"items": (item(now[0], later), item(now[1])), "money": Money(1800, euro)}
    assert "vat" not in read(render_response(payment()))["payment"]
    assert read(render_response(payment(**sold, usd_per_unit=None)))["payment"]["vat"] == {"amount": 2}
    told = read(render_event(approved(**sold, usd_per_unit=Decimal("1.15"))))["payment"]["vat"]
    assert told == {"amount": 2, "amountUsd": Decimal("2.3")}
    assert "vat" not in read(render_response(payment(**{**sold, "money": Money(900, euro)})))["payment"]
    held = {"items": (item(later),), "money": later.money}
    assert read(render_response(payment(**held)))["payment"]["vat"]["amount"] == 4


def test_metadata_comes_back_as_sent() -> None:
    """Metadata keep their order, numbers and characters."""
    sent = '{"z": 1.50, "a": ["ß", 12345678901234567890123, null]}'
    assert render_response(payment(metadata=sent)).endswith(f'"metadata":{sent}}}'.encode())


def test_browser_data_are_not_returned() -> None:
    """The browser data of a request are not part of the consumer in the response."""
    told = payment(consumer={"email": "jane@example.com", "userAgent": "Mozilla", "browserLanguage": "en", "ip": "x"})
    block = read(render_response(replace(told, external_id=None)))["consumer"]
    assert set(block) == {"id", "email", "blocked"}


def test_an_event_is_the_answer_with_its_time() -> None:
    """The event has the blocks of the response, and the time of the outcome at the top level."""
    event, answer = read(render_event(approved())), read(render_response(approved()))
    PaymentEvent.model_validate(event)
    told, shown = event.pop("timestamp"), answer["payment"]["timestamp"]
    assert isinstance(shown["unixTime"], int)
    assert told == shown | {"unixTime": str(shown["unixTime"])}
    assert event == answer


def test_an_event_reuses_the_rendered_response() -> None:
    """The rendered response is not rendered again for the event, and its bytes are the same."""
    assert render_event(replace(approved(), rendered=render_response(approved()))) == render_event(approved())
