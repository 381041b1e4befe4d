"""The portal's pages, rendered, with the headers that every one of them bears."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tollhouse.http.responses import Response, answer_html
from tollhouse.portal.words import (
    choose_mood,
    describe_attempt,
    describe_delivery,
    describe_price,
    format_short_time,
    format_time,
)
from tollhouse.wire.pretty import html_of_json, set_out

#: Nothing of it is kept by a browser or a proxy, framed, or sent anywhere else.
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
    mood=choose_mood,
    price=describe_price,
    delivery=describe_delivery,
    attempt=describe_attempt,
    # It escapes what it is given, so templates mark what it returns as safe.
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
    """Answer with a page."""
    html = _environment.get_template(template).render(**values)
    return answer_html(html, status=status, headers={**PAGE_HEADERS, **(headers or {})}, cookies=cookies)


def go_to(path: str, *, cookies: tuple[str, ...] = ()) -> Response:
    """Send the browser to another page, with a GET whatever it came with."""
    return Response(b"", 303, headers={**PAGE_HEADERS, "Location": path}, cookies=cookies)
