"""Rendering of the portal's pages, with the headers of every page."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tollhouse.http.responses import Response, answer_html
from tollhouse.ipn.log import describe_attempt
from tollhouse.portal.words import (
    choose_status_class,
    describe_delivery,
    describe_price,
    format_short_time,
    format_time,
)
from tollhouse.wire.pretty import html_of_json, set_out

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
    return answer_html(html, status=status, headers={**PAGE_HEADERS, **(headers or {})}, cookies=cookies)


def redirect_to(path: str, *, cookies: tuple[str, ...] = ()) -> Response:
    """Redirect the browser to another page, which it loads with GET."""
    return Response(b"", 303, headers={**PAGE_HEADERS, "Location": path}, cookies=cookies)
