"""Requests and responses that all checkout pages share: pages with headers, redirects, forms."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import msgspec

from tollhouse.checkout.pages import HtmlPage, render_app
from tollhouse.checkout.words import Words, choose_words, languages
from tollhouse.http import responses
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response, build_html_response
from tollhouse.http.screen import read_page_form
from tollhouse.kernel.addresses import normalize_address
from tollhouse.kernel.errors import NotFound
from tollhouse.kernel.urls import is_web_url
from tollhouse.threeds.model import BrowserData

MAX_FORM_FIELDS = 32
MAX_KEY_LENGTH = 64

HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}


def send(page: HtmlPage, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Build the response for a page, with its content security policy."""
    all_headers = {**HEADERS, "Content-Security-Policy": page.policy, **(headers or {})}
    return build_html_response(page.html, status=status, headers=all_headers)


def redirect(url: str) -> Response:
    """Redirect the browser to a URL, which it loads with GET."""
    return responses.redirect(url, headers=HEADERS)


def redirect_to_merchant(url: str, words: Words) -> Response:
    """Send the browser to the merchant: by a redirect, or by a link on a page if the URL belongs to an app."""
    return redirect(url) if is_web_url(url) else send(render_app(url, words))


def choose_page_words(request: Request, wanted: str | None = None) -> Words:
    """Return the texts in the merchant's language, or else in the browser's."""
    return choose_words(wanted, request.headers.get("accept-language"))


def override_language(browser: BrowserData, wanted: str | None) -> BrowserData:
    """Replace the browser's language by the merchant's, so that the bank's page uses it too."""
    is_other = wanted is not None and wanted in languages() and browser.language.partition("-")[0].lower() != wanted
    return replace(browser, language=wanted) if is_other and wanted else browser


def respond_readiness(*, ready: bool) -> Response:
    """Build the response to a waiting page."""
    return Response(msgspec.json.encode({"ready": ready}), headers=HEADERS)


def read_key(request: Request) -> str:
    """Return the key in a path. Raises NotFound if it cannot be a key."""
    key = request.path_parameters["key"]
    if len(key) > MAX_KEY_LENGTH or not key.isascii():
        raise NotFound
    return key


async def read_form(request: Request, *, limit_bytes: int, card_fields: Collection[str] = ()) -> dict[str, str]:
    """Read a posted form. A field with a card number is left out, except those in `card_fields`.

    Raises TooLarge.
    """
    body = await request.read_body(limit_bytes=limit_bytes)
    return read_page_form(body, allowed=card_fields, max_fields=MAX_FORM_FIELDS)


def get_peer_address(request: Request) -> str:
    """Return the address of the connection's peer."""
    return normalize_address(request.peer)
