"""Texts for times, prices, statuses and attempts."""

from __future__ import annotations

from datetime import UTC, datetime

from tollhouse.catalog.model import Offset, Price
from tollhouse.ipn.model import DeliveryEntry

UNITS = {"d": "day", "w": "week", "m": "month", "y": "year"}
STATUS_CLASSES = dict.fromkeys(("success", "confirmed", "approved", "passed", "delivered"), "good") | dict.fromkeys(
    ("fail", "declined", "not_sent", "reversed", "failed", "abandoned", "chargeback", "chargeback_2nd", "send_ca"),
    "bad",
)
DELIVERY_STATES = {
    "held": "waiting for the previous callback",
    "waiting": "about to be sent",
    "leased": "being sent",
    "delivered": "delivered",
    "failed": "failed",
}


def format_time(moment: datetime | None) -> str:
    """Format a time in UTC to the second; return an empty text for None."""
    return f"{moment.astimezone(UTC):%-d %b %Y, %H:%M:%S}" if moment else ""


def format_short_time(moment: datetime) -> str:
    """Format a time in UTC for a list: without the year in the current year."""
    moment = moment.astimezone(UTC)
    return f"{moment:%-d %b, %H:%M:%S}" if moment.year == datetime.now(UTC).year else f"{moment:%-d %b %Y, %H:%M}"


def choose_status_class(state: str) -> str:
    """Return the CSS class of a status: good, bad, or open."""
    return STATUS_CLASSES.get(state, "open")


def describe_price(price: Price) -> str:
    """Describe when a price is charged: `19.99 USD at once`, `19.99 USD every 30 days`."""
    amount = price.money.to_text()
    if price.is_repeating:
        times = "" if price.repeat is True else f", {price.repeat} times"
        return f"{amount} every {_describe_offset(price.offset, each=True)}{times}"
    return f"{amount} at once" if price.offset.is_at_once else f"{amount} after {_describe_offset(price.offset)}"


def _describe_offset(offset: Offset, *, each: bool = False) -> str:
    unit = UNITS[offset.unit]
    if offset.count == 1:
        return unit if each else f"1 {unit}"
    return f"{offset.count} {unit}s"


def describe_delivery(delivery: DeliveryEntry) -> str:
    """Describe the state of a delivery."""
    if delivery.state == "waiting" and delivery.attempts:
        return f"next attempt {format_time(delivery.due_at)}"
    return DELIVERY_STATES[delivery.state]
