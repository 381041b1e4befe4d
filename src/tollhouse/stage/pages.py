"""Rendering of the pages of stage, with the headers of every page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tollhouse.http.responses import Response, build_html_response
from tollhouse.ipn.log import describe_attempt
from tollhouse.wire.render import html_of_json, set_out

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

#: Headers of an email in a frame: its styles are inline, and nothing else may load or run.
EMAIL_HEADERS = {
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
    """Render a page into a response."""
    return build_html_response(render(template, **values), headers=PAGE_HEADERS)


def render(template: str, **values: Any) -> str:
    """Render a page or a part of it."""
    return _environment.get_template(template).render(**values)


def format_time(time: datetime) -> str:
    """Format a time in UTC, with its date unless it is today."""
    time = time.astimezone(UTC)
    is_today = time.date() == datetime.now(UTC).date()
    return f"{time:%H:%M:%S}" if is_today else f"{time:%-d %b %Y, %H:%M:%S}"


# The filter escapes its input, so templates mark its result as safe.
_environment.filters.update(json=lambda body: html_of_json(set_out(body)), time=format_time, attempt=describe_attempt)
