"""Create and verify the two signatures of a callback. Pure; depends on the standard library alone.

Existing clients of this API verify `X-Signature`: a plain SHA-256 over secret, ID and status. It covers neither
the rest of the body nor the time, so listeners should verify the other one if they can.

`webhook-signature` follows Standard Webhooks 1.0.0 (https://www.standardwebhooks.com): HMAC-SHA256 over ID, time and
body. The key is the UTF-8 text of the merchant's IPN secret; the reference libraries want it as `whsec_` and base64,
see `encode_key`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

from tollhouse.kernel.errors import TollhouseError

#: The accepted difference to the listener's clock. Libraries of the specification accept five minutes.
MAX_CLOCK_DIFFERENCE_SECONDS = 300

MAX_TIMESTAMP_DIGITS = 12


class SignatureMismatch(TollhouseError):
    """The signature does not belong to this callback and this secret."""


def sign_status(secret: str, subject_id: str, status: str) -> str:
    """Return `X-Signature`: lower-case hex SHA-256 of secret, ID and status.

    The ID is the transaction's, or the subscription's if the event has no transaction.
    """
    return hashlib.sha256(f"{secret}{subject_id}{status}".encode()).hexdigest()


def verify_status(secret: str, signature: str, *, subject_id: str, status: str) -> None:
    """Check an `X-Signature`. Raises SignatureMismatch."""
    if not _equal(sign_status(secret, subject_id, status), signature):
        raise SignatureMismatch


def sign_webhook(secrets: Sequence[str], *, webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return `webhook-signature`: one `v1,` signature for each secret, separated by spaces."""
    return " ".join(_sign_v1(secret, webhook_id=webhook_id, timestamp=str(timestamp), body=body) for secret in secrets)


def verify_webhook(
    secret: str,
    signatures: str,
    *,
    webhook_id: str,
    timestamp: str,
    body: bytes,
    now: float,
    tolerance_seconds: float = MAX_CLOCK_DIFFERENCE_SECONDS,
) -> None:
    """Check `webhook-signature` and the age of `webhook-timestamp`; `now` is Unix time. Raises SignatureMismatch."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= MAX_TIMESTAMP_DIGITS):
        raise SignatureMismatch("webhook-timestamp is not a time.")
    if abs(now - int(timestamp)) > tolerance_seconds:
        raise SignatureMismatch("webhook-timestamp is too far from now.")
    expected = _sign_v1(secret, webhook_id=webhook_id, timestamp=timestamp, body=body)
    if not any(_equal(expected, signature) for signature in signatures.split(" ")):
        raise SignatureMismatch


def encode_key(secret: str) -> str:
    """Return the secret in the form that Standard Webhooks libraries accept."""
    return "whsec_" + base64.b64encode(secret.encode()).decode()


def _sign_v1(secret: str, *, webhook_id: str, timestamp: str, body: bytes) -> str:
    content = b".".join((webhook_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.digest(secret.encode(), content, "sha256")).decode()


def _equal(expected: str, given: str) -> bool:
    """Compare in constant time. `given` may be any header value."""
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape"))
