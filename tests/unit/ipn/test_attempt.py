"""The headers of an attempt, and the names of its errors."""

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
    """An attempt has content type, user agent, both signatures, its sequence number, and the request's ID."""
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
    """The legacy form has a signature in its fields; the header signature covers the whole form."""
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
    """Without a transaction, X-Signature covers the subscription's ID and status."""
    delivery = make_delivery("https://example.com/", transaction_id=None, subscription_id=99, status="canceled")
    headers = build_headers(delivery, [SECRET], timestamp=1)
    assert headers["X-Signature"] == sign_status(SECRET, "99", "canceled")


def test_event_without_request_has_no_request_id() -> None:
    """A header without a value is left out."""
    delivery = make_delivery("https://example.com/", request_id=None)
    assert "X-Request-ID" not in build_headers(delivery, [SECRET], timestamp=1)


@given(st.integers(100, 599))
def test_only_three_statuses_acknowledge(status: int) -> None:
    """200, 201 and 202 acknowledge, and no other status does."""
    assert (find_status_error(status) is None) == (status in (200, 201, 202))


def test_redirect_is_named() -> None:
    """A redirect has its own error in the log, because it looks like success in a browser."""
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
    """Each kind of failure has its error; an unknown one counts as our own fault."""
    assert classify_error(error) == word


@given(st.binary(max_size=3000))
def test_excerpt_is_text_that_can_be_stored(answer: bytes) -> None:
    """The excerpt of any response is at most 1 KiB of text that PostgreSQL accepts."""
    text = decode_excerpt(answer)
    assert len(text) <= MAX_EXCERPT_BYTES
    assert "\x00" not in text
    text.encode()
