"""Callbacks for the inbox, built from the delivery log, with headers as sent or as they would be sent. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

from tollhouse.ipn.delivery.attempt import build_headers
from tollhouse.ipn.log import ATTEMPT_TEXTS
from tollhouse.ipn.model import AttemptEntry, Delivery, DeliveryEntry
from tollhouse.kernel.money import Currency, Money
from tollhouse.stage.mailbox import Arrival
from tollhouse.wire.pretty import set_out


@dataclass(frozen=True, slots=True)
class AttemptView:
    """A delivery attempt: its merchant time, address and result."""

    number: int
    at: datetime
    duration_ms: int
    address: str
    result: str
    is_acknowledged: bool
    excerpt: str


@dataclass(frozen=True, slots=True)
class CallbackView:
    """A callback. `version` changes with any other field. Times are merchant times, except `made_at`."""

    event_id: int
    anchor: str
    version: str
    made_at: datetime
    shown_at: datetime
    sequence: int
    kind: str
    status: str
    amount: str
    order_id: str
    transaction_id: str
    url: str
    host: str
    state: str
    next_at: datetime | None
    attempts: tuple[AttemptView, ...]
    arrivals: tuple[Arrival, ...]
    headers_origin: str
    headers: tuple[tuple[str, str], ...]
    body: str
    form: str = "callback"

    @property
    def at(self) -> datetime:
        """The creation time, as of all entries of the inbox."""
        return self.made_at


def build_callback(entry: DeliveryEntry, *, secrets: Sequence[str], arrivals: Sequence[Arrival]) -> CallbackView:
    """Build a callback from its delivery and from its arrivals at the inbox's own URL."""
    headers_origin, headers = _choose_headers(entry, secrets, arrivals)
    return CallbackView(
        event_id=entry.event_id,
        anchor=f"evt_{entry.event_id}-{entry.number}",
        version=f"{entry.state}-{len(entry.attempts)}-{len(arrivals)}",
        made_at=entry.created_at,
        shown_at=entry.at,
        sequence=entry.sequence,
        kind=entry.kind,
        status=entry.status or "",
        amount=_read_amount(entry.body) if entry.form == "json" else "",
        order_id=str(entry.payment_id or ""),
        transaction_id=str(entry.transaction_id or ""),
        url=entry.url,
        host=urlsplit(entry.url).netloc,
        state=entry.state,
        next_at=entry.due_at if entry.state == "waiting" and entry.attempts else None,
        attempts=tuple(_build_attempt(attempt) for attempt in entry.attempts),
        arrivals=tuple(arrivals),
        headers_origin=headers_origin,
        headers=headers,
        body=set_out(entry.body),
    )


def _choose_headers(
    entry: DeliveryEntry, secrets: Sequence[str], arrivals: Sequence[Arrival]
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return headers with their description. Those of an attempt follow from its time, so they are computed again."""
    if arrivals:
        return "as they arrived", arrivals[-1].headers
    sent = entry.attempts[-1] if entry.attempts else None
    moment = sent.started_at if sent else entry.created_at
    headers = build_headers(_as_delivery(entry), secrets, timestamp=int(moment.timestamp()))
    return f"as sent at attempt {sent.number}" if sent else "as they would be sent", tuple(headers.items())


def _as_delivery(entry: DeliveryEntry) -> Delivery:
    return Delivery(
        merchant_id=0,
        event_id=entry.event_id,
        number=entry.number,
        form=entry.form,
        host_id=0,
        lease=0,
        url=entry.url,
        body=entry.body,
        sequence=entry.sequence,
        kind=entry.kind,
        payment_id=entry.payment_id,
        transaction_id=entry.transaction_id,
        subscription_id=entry.subscription_id,
        status=entry.status,
        request_id=entry.request_id,
        attempts=0,
        age=timedelta(),
    )


def _read_amount(body: bytes) -> str:
    """Read the amount of a payment from one of our bodies; return an empty text for events without a payment."""
    payment = json.loads(body, parse_float=Decimal).get("payment")
    if payment is None:
        return ""
    return Money.parse(Decimal(payment["amount"]), Currency.of(payment["currency"])).to_text()


def _build_attempt(attempt: AttemptEntry) -> AttemptView:
    text = f"{attempt.status}" if attempt.status else ""
    if attempt.error:
        text = f"{text}: {ATTEMPT_TEXTS[attempt.error]}" if text else ATTEMPT_TEXTS[attempt.error]
    return AttemptView(
        number=attempt.number,
        at=attempt.at,
        duration_ms=attempt.duration_ms,
        address=attempt.address or "",
        result=text,
        is_acknowledged=attempt.error is None,
        excerpt=attempt.excerpt,
    )
