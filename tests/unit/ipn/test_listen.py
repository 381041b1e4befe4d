"""The reading and the output of `tollhouse listen`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text
from tests.support.callbacks import BODY, SECRET, make_delivery
from tests.support.payments import payment

from tollhouse.cli.listen import (
    CallbackResponse,
    ReceivedCallback,
    judge_signature,
    read_callback,
    read_demo_secret,
    render_banner,
    render_line,
    verify_callback,
)
from tollhouse.ipn.delivery.attempt import build_headers, write_body
from tollhouse.ipn.message.legacy import build_xml
from tollhouse.ipn.message.signature import SignatureMismatch
from tollhouse.payments.model import Status

NOW = 1_700_000_000
HEADERS = build_headers(make_delivery("http://127.0.0.1/"), [SECRET], timestamp=NOW)


def test_callback_of_a_payment_is_read() -> None:
    """Kind, status and IDs come from the payment."""
    body = json.dumps({"payment": {"mode": "sale", "status": "fail", "orderId": "1", "transactionId": "2"}}).encode()
    assert read_callback(body) == ReceivedCallback("sale", "fail", "1", "2", "")


def test_callback_of_a_subscription_is_read() -> None:
    """Without a payment they come from the subscription."""
    body = b'{"subscription": {"id": "9", "status": "canceled"}}'
    assert read_callback(body) == ReceivedCallback("subscription", "canceled", "", "", "9")


def test_legacy_form_is_read_and_verified() -> None:
    """Kind, status and IDs of a legacy form come from its XML, and the header signature covers all of it."""
    settled = payment(status=Status.SUCCESS, code="0")
    delivery = make_delivery("http://127.0.0.1/", form="legacy", body=build_xml(settled), payment_id=settled.payment_id)
    headers, body = build_headers(delivery, [SECRET], timestamp=NOW), write_body(delivery, SECRET)
    assert read_callback(body) == ReceivedCallback("sale", "successful", "100000000", "10000000", "")
    verify_callback(headers, body, secret=SECRET, now=NOW)
    with pytest.raises(SignatureMismatch, match="webhook-signature"):
        verify_callback(headers, body.replace(b"successful", b"declined!!"), secret=SECRET, now=NOW)


@given(st.binary(max_size=60))
def test_any_body_is_read(body: bytes) -> None:
    """A body that is not a callback is shown as unknown, without an error."""
    assert read_callback(body).kind in ("unknown", "subscription")


def test_genuine_callback_verifies() -> None:
    """A callback of the gateway passes both checks."""
    verify_callback(HEADERS, BODY, secret=SECRET, now=NOW)
    assert "verified" in judge_signature(HEADERS, BODY, secret=SECRET, now=NOW).plain


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        (HEADERS | {"X-Signature": "0"}, BODY, "X-Signature is wrong"),
        (HEADERS, BODY + b" ", "webhook-signature is wrong or old"),
        ({}, b"", "X-Signature is wrong"),
    ],
)
def test_false_callback_is_named(headers: dict[str, str], body: bytes, message: str) -> None:
    """The output says which signature is wrong."""
    with pytest.raises(SignatureMismatch, match=message):
        verify_callback(headers, body, secret=SECRET, now=NOW)
    assert message in judge_signature(headers, body, secret=SECRET, now=NOW).plain


def test_nothing_is_claimed_without_a_secret() -> None:
    """Without a secret the output says that nothing was verified."""
    assert "not checked" in judge_signature(HEADERS, BODY, secret=None, now=NOW).plain


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"ipnSecret": 1}'])
def test_demo_without_secret_gives_none(tmp_path: Path, content: str | None) -> None:
    """A missing or malformed demo file has no secret."""
    if content is not None:
        (tmp_path / "demo.json").write_text(content)
    assert read_demo_secret(tmp_path) is None


def test_demo_secret_is_read(tmp_path: Path) -> None:
    """The secret of the demo merchant is read from the demo's file."""
    (tmp_path / "demo.json").write_text(json.dumps({"ipnSecret": SECRET}))
    assert read_demo_secret(tmp_path) == SECRET


def test_line_takes_no_markup_from_a_callback() -> None:
    """Texts of a callback are printed without markup, so they cannot control the terminal."""
    console = Console(file=io.StringIO(), width=200)
    line = render_line(ReceivedCallback("[red]x", "success", "1", "2", ""), Text("ok"), CallbackResponse(200), 12)
    console.print(line)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "[red]x" in text
    assert "order 1" in text
    assert "200 from your server, 12 ms" in text


def test_banner_says_where_to_point_the_gateway() -> None:
    """The first output is the URL to be used as ipnUrl."""
    console = Console(file=io.StringIO(), width=100)
    console.print(render_banner("http://127.0.0.1:8081/", forward_to=None, checked=False))
    assert isinstance(console.file, io.StringIO)
    assert "http://127.0.0.1:8081/" in console.file.getvalue()
    assert "ipnUrl" in console.file.getvalue()
