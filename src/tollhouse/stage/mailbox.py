"""The newest callbacks received at the inbox's own URL, kept in the memory of this process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tollhouse.http.decode import parse_json
from tollhouse.ipn.message.legacy import CONTENT_TYPE as FORM_TYPE
from tollhouse.ipn.message.signature import SignatureMismatch, verify_status, verify_webhook
from tollhouse.kernel.errors import Invalid

MAX_ARRIVALS = 200
MAX_HEADERS = 32
MAX_HEADER_CHARACTERS = 512


@dataclass(frozen=True, slots=True)
class Arrival:
    """A received callback. Only a genuine one has headers; nothing else is kept of others."""

    received_at: datetime
    webhook_id: str
    problem: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def is_genuine(self) -> bool:
        """Whether both signatures are valid."""
        return not self.problem


class Mailbox:
    """The newest received callbacks."""

    def __init__(self, limit: int = MAX_ARRIVALS) -> None:
        self._arrivals: deque[Arrival] = deque(maxlen=limit)

    def put(self, arrival: Arrival) -> None:
        """Add a callback, and drop the oldest if there are too many."""
        self._arrivals.append(arrival)

    def genuine(self) -> dict[str, list[Arrival]]:
        """Return genuine callbacks by webhook ID, oldest first."""
        found: dict[str, list[Arrival]] = {}
        for arrival in self._arrivals:
            if arrival.is_genuine:
                found.setdefault(arrival.webhook_id, []).append(arrival)
        return found

    def rejected(self) -> list[Arrival]:
        """Return callbacks with an invalid signature, newest first."""
        return [arrival for arrival in reversed(self._arrivals) if not arrival.is_genuine]


def verify_arrival(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> Arrival:
    """Verify both signatures of a callback, as the documentation describes."""
    received_at = datetime.now(UTC)
    faults = [_find_fault(secret, headers, body) for secret in secrets] or ["there is no demo merchant"]
    if all(faults):
        return Arrival(received_at, "", faults[0])
    kept = tuple((name, text[:MAX_HEADER_CHARACTERS]) for name, text in list(headers.items())[:MAX_HEADERS])
    return Arrival(received_at, headers["webhook-id"], "", kept)


def _find_fault(secret: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return the fault of the signatures under this secret, or an empty text. A legacy form has only the second."""
    if headers.get("content-type") != FORM_TYPE:
        subject_id, status = _read_subject(body)
        try:
            verify_status(secret, headers.get("x-signature", ""), subject_id=subject_id, status=status)
        except SignatureMismatch:
            return "X-Signature is missing or wrong"
    try:
        verify_webhook(
            secret,
            headers.get("webhook-signature", ""),
            webhook_id=headers.get("webhook-id", ""),
            timestamp=headers.get("webhook-timestamp", ""),
            body=body,
            now=time.time(),
        )
    except SignatureMismatch:
        return "webhook-signature is missing, wrong or old"
    return ""


def _read_subject(body: bytes) -> tuple[str, str]:
    """Return the ID and the status that `X-Signature` covers; empty texts if the body lacks them."""
    try:
        content = parse_json(body)
    except Invalid:
        return "", ""
    for name, id_name in (("payment", "transactionId"), ("subscription", "id")):
        part = content.get(name) if isinstance(content, dict) else None
        if isinstance(part, dict):
            return str(part.get(id_name, "")), str(part.get("status", ""))
    return "", ""
