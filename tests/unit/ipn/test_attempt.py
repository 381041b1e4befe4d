"""What an attempt says, and how its end is named."""

from __future__ import annotations

from urllib.parse import parse_qsl

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.callbacks import SECRET, make_delivery

from tollhouse import __version__
from tollhouse.ipn.delivery.attempt import (
    MAX_EXCERPT_BYTES,
    build_headers,
    classify_error,
    decode_excerpt,
    find_status_error,
    write_body,
)
from tollhouse.ipn.message.legacy import sign
from tollhouse.ipn.message.signature import sign_status, verify_webhook
from tollhouse.kernel.urls import AddressRefused


def test_headers_are_complete() -> None:
    """An attempt bears content type, sender, both signatures, its place in the sequence, and the request's id."""
    delivery = make_delivery("https://example.com/")
    headers = build_headers(delivery, [SECRET, "old"], timestamp=1_700_000_000)
    signatures = headers.pop("webhook-signature")
    assert headers == {
        "Content-Type": "application/json",
        "User-Agent": f"Tollhouse/{__version__}",
        "X-Signature": sign_status(SECRET, "12345", "success"),
        "webhook-id": "evt_7",
        "webhook-timestamp": "1700000000",
        "webhook-sequence": "3",
        "X-Request-ID": "req-1",
    }
    for secret in (SECRET, "old"):
        verify_webhook(
            secret,
            signatures,
            webhook_id="evt_7",
            timestamp="1700000000",
            body=delivery.body,
            now=1_700_000_000,
        )


def test_legacy_form_is_signed_in_its_field() -> None:
    """The legacy form says in its fields what it is and who signed it; its header signature covers the whole form."""
    delivery = make_delivery("https://example.com/", form="legacy", body=b"<ipn>&</ipn>")
    headers = build_headers(delivery, [SECRET], timestamp=1_700_000_000)
    body = write_body(delivery, SECRET)
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "X-Signature" not in headers
    assert dict(parse_qsl(body.decode())) == {
        "ipn": "<ipn>&</ipn>",
        "sign": sign(SECRET, order_id="77", kind="sale", status="success"),
    }
    verify_webhook(
        SECRET,
        headers["webhook-signature"],
        webhook_id="evt_7",
        timestamp="1700000000",
        body=body,
        now=1_700_000_000,
    )


def test_subscription_event_is_signed_with_its_subscription() -> None:
    """Where there is no transaction, X-Signature is made of the subscription's id and status."""
    delivery = make_delivery("https://example.com/", transaction_id=None, subscription_id=99, status="canceled")
    headers = build_headers(delivery, [SECRET], timestamp=1)
    assert headers["X-Signature"] == sign_status(SECRET, "99", "canceled")


def test_event_without_request_has_no_request_id() -> None:
    """A header without a value is left out."""
    delivery = make_delivery("https://example.com/", request_id=None)
    assert "X-Request-ID" not in build_headers(delivery, [SECRET], timestamp=1)


@given(st.integers(100, 599))
def test_only_three_statuses_acknowledge(status: int) -> None:
    """200, 201 and 202 acknowledge, and nothing else does."""
    assert (find_status_error(status) is None) == (status in (200, 201, 202))


def test_redirect_is_named() -> None:
    """A redirect has a name of its own in the log, since it looks like success in a browser."""
    assert find_status_error(302) == "redirected"
    assert find_status_error(500) == "not_acknowledged"


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (AddressRefused(), "address_refused"),
        (aiohttp.InvalidURL("x"), "address_refused"),
        (aiohttp.ConnectionTimeoutError(), "connect_timeout"),
        (aiohttp.SocketTimeoutError(), "timeout"),
        (TimeoutError(), "timeout"),
        (aiohttp.ServerDisconnectedError(), "disconnected"),
        (ConnectionResetError(), "disconnected"),
        (aiohttp.ClientPayloadError(), "bad_answer"),
        (ValueError(), "internal"),
    ],
)
def test_errors_are_named_by_what_they_mean(error: Exception, word: str) -> None:
    """Each kind of failure has its word; what we do not know is our own fault until shown otherwise."""
    assert classify_error(error) == word


@given(st.binary(max_size=3000))
def test_excerpt_is_text_that_can_be_stored(answer: bytes) -> None:
    """Whatever an endpoint answers, its excerpt is at most 1 KiB of text that PostgreSQL takes."""
    text = decode_excerpt(answer)
    assert len(text) <= MAX_EXCERPT_BYTES
    assert "\x00" not in text
    text.encode()
