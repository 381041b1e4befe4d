"""The pages of stage, rendered, with the headers that every one of them bears."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tollhouse.http.responses import Response, answer_html
from tollhouse.wire.pretty import html_of_json

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

#: Of a letter, shown in a frame: its looks are in the letter itself, and nothing in it may do anything.
LETTER_HEADERS = {
    **PAGE_HEADERS,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox",
}

_environment = Environment(
    loader=PackageLoader("tollhouse.stage"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def show(template: str, **values: Any) -> Response:
    """Answer with a page."""
    return answer_html(render(template, **values), headers=PAGE_HEADERS)


def render(template: str, **values: Any) -> str:
    """Render a page or a part of one."""
    return _environment.get_template(template).render(**values)


def format_time(moment: datetime) -> str:
    """Format a moment of today as a time, and another one with its date; UTC."""
    moment = moment.astimezone(UTC)
    is_today = moment.date() == datetime.now(UTC).date()
    return f"{moment:%H:%M:%S}" if is_today else f"{moment:%-d %b %Y, %H:%M:%S}"


# It escapes what it is given, so templates mark what it returns as safe.
_environment.filters["json"] = html_of_json
_environment.filters["time"] = format_time
