"""Callbacks for the inbox, built from the delivery log, with headers as sent or as they would be sent. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

from tollhouse.ipn.delivery.attempt import build_headers
from tollhouse.ipn.model import Delivery, DeliveryEntry
from tollhouse.kernel.money import Currency, Money
from tollhouse.stage.mailbox import Arrival


@dataclass(frozen=True, slots=True)
class CallbackView:
    """A callback: its delivery, its arrivals at the inbox's own URL, and its headers with their description."""

    entry: DeliveryEntry
    arrivals: Sequence[Arrival]
    headers_origin: str
    headers: tuple[tuple[str, str], ...]
    form: str = "callback"

    @property
    def at(self) -> datetime:
        """The creation time, as of all entries of the inbox. It is real time; all other times are the merchant's."""
        return self.entry.created_at

    @property
    def anchor(self) -> str:
        """The name of the callback on the page."""
        return f"evt_{self.entry.event_id}-{self.entry.number}"

    @property
    def version(self) -> str:
        """A text that changes with anything that is shown."""
        return f"{self.entry.state}-{len(self.entry.attempts)}-{len(self.arrivals)}"

    @property
    def amount(self) -> str:
        """The amount of a payment; empty for events without a payment, and in the legacy form."""
        payment = json.loads(self.entry.body, parse_float=Decimal).get("payment") if self.entry.form == "json" else None
        if payment is None:
            return ""
        return Money.parse(Decimal(payment["amount"]), Currency.of(payment["currency"])).to_text()

    @property
    def host(self) -> str:
        """The host to which it is sent."""
        return urlsplit(self.entry.url).netloc


def build_callback(entry: DeliveryEntry, *, secrets: Sequence[str], arrivals: Sequence[Arrival]) -> CallbackView:
    """Build a callback from its delivery and from its arrivals at the inbox's own URL."""
    return CallbackView(entry, arrivals, *_choose_headers(entry, secrets, arrivals))


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
    """Return the delivery of which headers are built. They say nothing of merchant, host, lease, attempts and age."""
    same = {field.name: getattr(entry, field.name) for field in fields(Delivery) if hasattr(entry, field.name)}
    return Delivery(**same | {"merchant_id": 0, "host_id": 0, "lease": 0, "attempts": 0, "age": timedelta()})
