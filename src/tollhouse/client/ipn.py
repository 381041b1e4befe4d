"""Read callbacks, after verifying their signatures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tollhouse.client.answers import ConsumerData, PaymentData, SubscriptionData, TimestampData
from tollhouse.ipn.message.signature import SignatureMismatch, verify_status, verify_webhook
from tollhouse.kernel.errors import UNREADABLE


class Ipn(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A callback with valid signatures.

    `webhook_id` identifies the event: it is the same when the callback is repeated, so a listener can skip events that
    it has seen. `sequence` counts the merchant's events from 1 without a gap. An event about the end of a subscription
    has a payment with action `cancel`. An event about a card that expires soon has no payment, and `event` instead.
    """

    event: str | None = None
    consumer: ConsumerData | None = None
    payment: PaymentData | None = None
    subscription: SubscriptionData | None = None
    metadata: Any = None
    timestamp: TimestampData | None = None
    webhook_id: str = ""
    sequence: int = 0


def read_ipn(body: bytes, headers: Mapping[str, str], secret: str | Sequence[str], *, now: float | None = None) -> Ipn:
    """Verify a callback and return its content. Respond with 200, 201 or 202.

    `secret` is the merchant's IPN secret; during a rotation the old one, the new one or both. `X-Signature` is not
    checked then, because it is made with the old one; the other signature covers more. `headers` may be spelled in any
    case. Raises SignatureMismatch if a signature is missing or wrong, if the callback is older than five minutes, or if
    the body is invalid: respond with 400 and do nothing else.
    """
    known = {name.lower(): value for name, value in headers.items()}
    failure: SignatureMismatch = SignatureMismatch()
    for candidate in [secret] if isinstance(secret, str) else secret:
        try:
            return _read_with(candidate, body, known, time.time() if now is None else now)
        except SignatureMismatch as error:
            failure = error
    raise failure


def _read_with(secret: str, body: bytes, headers: Mapping[str, str], now: float) -> Ipn:
    verify_webhook(
        secret,
        headers.get("webhook-signature", ""),
        webhook_id=headers.get("webhook-id", ""),
        timestamp=headers.get("webhook-timestamp", ""),
        body=body,
        now=now,
    )
    try:
        ipn = msgspec.json.decode(body, type=Ipn)
    except UNREADABLE:
        raise SignatureMismatch("The body is not a callback.") from None
    subject_id, status = _subject_of(ipn)
    if " " not in headers["webhook-signature"]:  # in a rotation it is made with a secret that may be gone here
        verify_status(secret, headers.get("x-signature", ""), subject_id=subject_id, status=status)
    sequence = headers.get("webhook-sequence", "")
    number = int(sequence) if sequence.isascii() and sequence.isdigit() else 0
    return msgspec.structs.replace(ipn, webhook_id=headers["webhook-id"], sequence=number)


def _subject_of(ipn: Ipn) -> tuple[str, str]:
    """Return the subject of the plain signature: the transaction, or without one the subscription."""
    if ipn.payment is not None:
        return ipn.payment.transaction_id, ipn.payment.status
    if ipn.subscription is not None:
        return ipn.subscription.id, ipn.subscription.status
    raise SignatureMismatch("The callback has no subject.")
