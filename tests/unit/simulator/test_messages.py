"""The messages between gateway and issuer host."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.issuing import encode, number_of

from tollhouse.kernel.errors import Invalid
from tollhouse.simulator import messages


def authorize(**changes: Any) -> dict[str, Any]:
    """Build an authorization as it is on the wire."""
    message = {
        "reference": "r-1",
        "amount": {"minor": 1999, "currency": "USD"},
        "card": {"number": number_of("visa"), "expiryMonth": 12, "expiryYear": 2025},
        "cvv": "009",
        "capture": True,
        "initiator": "customer",
        "reason": "one_click",
        "descriptor": "DEMO",
        "networkTransactionId": None,
        "proof": None,
        "consumerIp": "203.0.113.45",
        "emulateCode": None,
    }
    return message | changes


def test_an_authorization_is_read() -> None:
    """The order has the published card and a masked number, and nothing of the clear one or the security code."""
    order = messages.read_authorize(encode(authorize()))

    assert order.card is not None
    assert order.card.name == "visa"
    assert order.masked_number == "402400****6348"
    assert order.by_customer
    assert not hasattr(order, "cvv")


def test_a_number_without_check_digit_is_read() -> None:
    """Whether a number exists is the issuer's answer, so one that fails the Luhn check is no fault of form."""
    card = {"number": "4111111111111112", "expiryMonth": 1, "expiryYear": 2030}

    assert messages.read_authorize(encode(authorize(card=card))).card is None


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"reference": ""}, "reference"),
        ({"reference": None}, "reference"),
        ({"amount": {"minor": -1, "currency": "USD"}}, "amount.minor"),
        ({"amount": {"minor": 1.5, "currency": "USD"}}, "amount.minor"),
        ({"amount": {"minor": 1, "currency": "usd"}}, "amount.currency"),
        ({"card": {"number": "4111 1111", "expiryMonth": 1, "expiryYear": 2030}}, "card.number"),
        ({"card": {"number": "4111111111111111", "expiryMonth": 13, "expiryYear": 2030}}, "card.expiryMonth"),
        ({"initiator": "nobody"}, "initiator"),
        ({"proof": {"eci": "05"}}, "proof"),
        ({"emulateCode": "0000000"}, "emulateCode"),
    ],
)
def test_a_faulty_authorization_names_its_field(change: dict[str, Any], path: str) -> None:
    """A fault is named by its path; no value of a card comes with it."""
    with pytest.raises(Invalid) as caught:
        messages.read_authorize(encode(authorize(**change)))

    assert list(caught.value.errors) == [path]
    assert "4111" not in str(caught.value.errors)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe"])
def test_malformed_message_is_rejected(body: bytes) -> None:
    """Bytes that are not a JSON object are rejected as a whole."""
    with pytest.raises(Invalid):
        messages.read_authorize(body)


def test_the_journal_has_a_bound() -> None:
    """A hundred rows unless told, a thousand at most."""
    assert messages.read_journal_request(b"").limit == 100
    assert messages.read_journal_request(encode({"limit": 1000})).limit == 1000
    with pytest.raises(Invalid):
        messages.read_journal_request(encode({"limit": 1001}))


def test_a_finding_is_about_its_reference() -> None:
    """Every answer repeats the reference it is about."""
    assert json.loads(messages.build_not_found("r-1")) == {"reference": "r-1", "result": "not_found"}
