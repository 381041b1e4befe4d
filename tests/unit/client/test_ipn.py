"""A callback is believed only with both signatures."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from tollhouse.client import SignatureMismatch, read_ipn
from tollhouse.ipn.message.signature import sign_status, sign_webhook

SECRET = "th_stage_secret"
NOW = 1_795_372_127
PAYMENT = {"transactionId": "12345", "orderId": "2", "status": "success", "code": "0", "amount": 19.9}
BODY = msgspec.json.encode({"payment": PAYMENT, "consumer": {"id": "c"}, "metadata": {"cart": 7}})


def sign(body: bytes = BODY, *, subject: str = "12345", status: str = "success") -> dict[str, str]:
    """Return the headers that the gateway sends with a body."""
    return {
        "X-Signature": sign_status(SECRET, subject, status),
        "webhook-id": "evt_1",
        "webhook-timestamp": str(NOW),
        "webhook-signature": sign_webhook([SECRET], webhook_id="evt_1", timestamp=NOW, body=body),
        "webhook-sequence": "42",
    }


def test_a_callback_is_read() -> None:
    """With both signatures in order it tells what happened, under which id, and in which place."""
    ipn = read_ipn(BODY, sign(), SECRET, now=NOW + 10)
    assert ipn.payment is not None
    assert (ipn.payment.transaction_id, ipn.payment.is_approved) == ("12345", True)
    assert (ipn.webhook_id, ipn.sequence, ipn.metadata) == ("evt_1", 42, {"cart": 7})


def test_headers_may_be_spelled_in_any_case() -> None:
    """Servers hand headers on in their own spelling."""
    headers = {name.upper(): value for name, value in sign().items()}
    assert read_ipn(BODY, headers, SECRET, now=NOW).webhook_id == "evt_1"


def test_either_secret_will_do_while_it_is_changed() -> None:
    """A listener that knows the old and the new secret misses nothing."""
    assert read_ipn(BODY, sign(), ["new", SECRET], now=NOW).webhook_id == "evt_1"


def test_an_event_of_a_subscription_is_signed_by_it() -> None:
    """Without a transaction the plain signature covers the subscription, and the event is named."""
    subscription = {"id": "7", "status": "canceled", "eventTime": "2026-12-31 10:00:00"}
    body = msgspec.json.encode(
        {"event": "subscription.canceled", "subscription": subscription, "consumer": {"id": "c"}}
    )
    ipn = read_ipn(body, sign(body, subject="7", status="canceled"), SECRET, now=NOW)
    assert ipn.subscription is not None
    assert (ipn.event, ipn.subscription.event_time) == ("subscription.canceled", "2026-12-31 10:00:00")
    assert ipn.payment is None


@pytest.mark.parametrize(
    "changes",
    [
        {"X-Signature": "0" * 64},
        {"X-Signature": ""},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-id": "evt_2"},
        {"webhook-timestamp": str(NOW - 301)},
        {"webhook-timestamp": "now"},
    ],
)
def test_a_forged_callback_is_refused(changes: Mapping[str, str]) -> None:
    """Each signature, the id and the time are checked."""
    with pytest.raises(SignatureMismatch):
        read_ipn(BODY, {**sign(), **changes}, SECRET, now=NOW)


def test_a_changed_body_is_refused() -> None:
    """The amount is under the signature, which it is not in the plain one alone."""
    with pytest.raises(SignatureMismatch):
        read_ipn(BODY.replace(b"19.9", b"1.99"), sign(), SECRET, now=NOW)


def test_without_headers_nothing_is_believed() -> None:
    """A post from anybody is no callback."""
    with pytest.raises(SignatureMismatch):
        read_ipn(BODY, {}, SECRET, now=NOW)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"payment": 1}', b'{"a": "\xff"}', b'{"a":' * 60_000])
def test_a_signed_body_that_is_no_callback_is_refused(body: bytes) -> None:
    """The right key does not make sense of nonsense."""
    with pytest.raises(SignatureMismatch):
        read_ipn(body, sign(body), SECRET, now=NOW)
