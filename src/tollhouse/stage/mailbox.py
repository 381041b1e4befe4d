"""What arrived at the inbox's own address, remembered in this process only: the last few, with their headers."""

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

LIMIT = 200
MAX_HEADERS = 32
MAX_HEADER_CHARACTERS = 512


@dataclass(frozen=True, slots=True)
class Arrival:
    """One callback as it came in. Only a genuine one has headers: nothing is kept of what anybody else sent."""

    received_at: datetime
    webhook_id: str
    problem: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def is_genuine(self) -> bool:
        """Whether both signatures were right."""
        return not self.problem


class Mailbox:
    """The last callbacks that arrived."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._arrivals: deque[Arrival] = deque(maxlen=limit)

    def put(self, arrival: Arrival) -> None:
        """Remember one, and forget the oldest when there are too many."""
        self._arrivals.append(arrival)

    def genuine(self) -> dict[str, list[Arrival]]:
        """Return the genuine ones by their webhook id, oldest first."""
        found: dict[str, list[Arrival]] = {}
        for arrival in self._arrivals:
            if arrival.is_genuine:
                found.setdefault(arrival.webhook_id, []).append(arrival)
        return found

    def refused(self) -> list[Arrival]:
        """Return those whose signature was wrong, newest first."""
        return [arrival for arrival in reversed(self._arrivals) if not arrival.is_genuine]


def judge(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> Arrival:
    """Check both signatures of a callback, as a listener that knows the documentation and its secret."""
    received_at = datetime.now(UTC)
    faults = [_find_fault(secret, headers, body) for secret in secrets] or ["there is no demo merchant here"]
    if all(faults):
        return Arrival(received_at, "", faults[0])
    kept = tuple((name, text[:MAX_HEADER_CHARACTERS]) for name, text in list(headers.items())[:MAX_HEADERS])
    return Arrival(received_at, headers["webhook-id"], "", kept)


def _find_fault(secret: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return what is wrong with the signatures by this secret, or nothing. A legacy form bears only the second."""
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
    """Return the id and the status that `X-Signature` covers; empty where the body does not say."""
    try:
        content = parse_json(body)
    except Invalid:
        return "", ""
    for name, id_name in (("payment", "transactionId"), ("subscription", "id")):
        part = content.get(name) if isinstance(content, dict) else None
        if isinstance(part, dict):
            return str(part.get(id_name, "")), str(part.get("status", ""))
    return "", ""
