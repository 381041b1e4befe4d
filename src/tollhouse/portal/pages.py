"""Rendering of the portal's pages, with the headers of every page, and texts for times, prices and statuses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tollhouse.catalog.model import Offset, Price
from tollhouse.http.responses import Response, build_html_response
from tollhouse.ipn.log import describe_attempt
from tollhouse.ipn.model import DeliveryEntry
from tollhouse.wire.render import html_of_json, set_out

#: Browsers and proxies must not store a page, frame it, or send its address or forms elsewhere.
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_environment = Environment(
    loader=PackageLoader("tollhouse.portal"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
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


def show(
    template: str,
    *,
    status: int = 200,
    cookies: tuple[str, ...] = (),
    headers: dict[str, str] | None = None,
    **values: Any,
) -> Response:
    """Render a page into a response."""
    html = _environment.get_template(template).render(**values)
    return build_html_response(html, status=status, headers={**PAGE_HEADERS, **(headers or {})}, cookies=cookies)


def redirect_to(path: str, *, cookies: tuple[str, ...] = ()) -> Response:
    """Redirect the browser to another page, which it loads with GET."""
    return Response(b"", 303, headers={**PAGE_HEADERS, "Location": path}, cookies=cookies)


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


_environment.filters.update(
    time=format_time,
    short_time=format_short_time,
    status_class=choose_status_class,
    price=describe_price,
    delivery=describe_delivery,
    attempt=describe_attempt,
    # The filter escapes its input, so templates mark its result as safe.
    json=lambda text: html_of_json(set_out(text.encode())),
)
