"""The signatures of a callback, and their verification."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.ipn.message.signature import (
    SignatureMismatch,
    encode_key,
    sign_status,
    sign_webhook,
    verify_status,
    verify_webhook,
)

NOW = 1_700_000_000
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
secrets = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def test_status_signature_is_what_the_public_client_computes() -> None:
    """X-Signature of a known example equals the public client's."""
    expected = "be626daddddeef24bbceb8bb76bd34f5fdf8c9258332828ebd07dfb1b5bbd43b"
    assert sign_status("test-key", "12345", "success") == expected


@given(secrets, texts, texts)
def test_status_signature_verifies(secret: str, subject_id: str, status: str) -> None:
    """A signature verifies with its secret."""
    verify_status(secret, sign_status(secret, subject_id, status), subject_id=subject_id, status=status)


@given(secrets, texts.filter(lambda text: text != "fail"))
def test_status_signature_covers_the_status(secret: str, status: str) -> None:
    """A signature for one status is rejected for another."""
    signature = sign_status(secret, "12345", status)
    with pytest.raises(SignatureMismatch):
        verify_status(secret, signature, subject_id="12345", status="fail")


def test_status_signature_is_compared_exactly() -> None:
    """The public client compares with ===, so upper-case hex is rejected here too."""
    with pytest.raises(SignatureMismatch):
        verify_status("k", sign_status("k", "1", "fail").upper(), subject_id="1", status="fail")


def test_webhook_signature_is_that_of_the_specification() -> None:
    """A v1 signature is base64 of HMAC-SHA256 over ID, time and body, joined by dots, as in Standard Webhooks."""
    expected = base64.b64encode(hmac.new(b"secret", b"evt_1.1700000000.{}", hashlib.sha256).digest()).decode()
    assert sign_webhook(["secret"], webhook_id="evt_1", timestamp=NOW, body=b"{}") == f"v1,{expected}"


def test_key_for_libraries_decodes_to_the_secret() -> None:
    """Libraries of Standard Webhooks decode the key to the bytes with which we sign."""
    prefix, encoded = encode_key("th_stage_1")[:6], encode_key("th_stage_1")[6:]
    assert (prefix, base64.b64decode(encoded)) == ("whsec_", b"th_stage_1")


@given(secrets, st.binary(max_size=200), st.integers(-300, 300))
def test_webhook_signature_verifies(secret: str, body: bytes, lateness: int) -> None:
    """A signature verifies with the same secret, for five minutes before and after."""
    signatures = sign_webhook([secret], webhook_id="evt_1", timestamp=NOW, body=body)
    verify_webhook(secret, signatures, webhook_id="evt_1", timestamp=str(NOW), body=body, now=NOW + lateness)


def test_webhook_signature_has_one_part_for_each_secret() -> None:
    """During a rotation both the new and the old secret verify."""
    signatures = sign_webhook(["new", "old"], webhook_id="evt_1", timestamp=NOW, body=b"{}")
    for secret in ("new", "old"):
        verify_webhook(secret, signatures, webhook_id="evt_1", timestamp=str(NOW), body=b"{}", now=NOW)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook_id", "evt_2"),
        ("timestamp", str(NOW + 1)),
        ("body", b"{ }"),
        ("secret", "other"),
        ("signatures", ""),
        ("signatures", "v1,\udcff"),
        ("now", NOW + 301),
        ("now", NOW - 301),
        ("timestamp", "1e9"),
        ("timestamp", "٣"),
        ("timestamp", "9" * 5000),
    ],
)
def test_changed_callback_is_refused(name: str, value: object) -> None:
    """Any changed callback, and an old one, is rejected with an error."""
    callback: dict[str, Any] = {
        "secret": "secret",
        "signatures": sign_webhook(["secret"], webhook_id="evt_1", timestamp=NOW, body=b"{}"),
        "webhook_id": "evt_1",
        "timestamp": str(NOW),
        "body": b"{}",
        "now": NOW,
    }
    with pytest.raises(SignatureMismatch):
        verify_webhook(**(callback | {name: value}))
