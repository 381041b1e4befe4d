"""Send and read what all pages of the checkout share: pages with their headers, redirects, forms."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from tollhouse.checkout.pages import HtmlPage, render_app
from tollhouse.checkout.words import choose_words, languages
from tollhouse.http import responses
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response, answer_html
from tollhouse.http.screen import read_page_form
from tollhouse.kernel.addresses import normalize_address
from tollhouse.kernel.errors import NotFound
from tollhouse.kernel.urls import is_web_url

if TYPE_CHECKING:
    from tollhouse.checkout.words import Words
    from tollhouse.threeds.model import BrowserData

MAX_FORM_FIELDS = 32
MAX_KEY = 64

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def send(page: HtmlPage, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Send a page with its policy."""
    every = {**HEADERS, "Content-Security-Policy": page.policy, **(headers or {})}
    return answer_html(page.html, status=status, headers=every)


def redirect(url: str) -> Response:
    """Send the browser on with a GET, whatever it came with."""
    return responses.redirect(url, headers=HEADERS)


def leave(url: str, words: Words) -> Response:
    """Send the browser to the merchant: by a redirect, or by a link if the URL is one of an app."""
    return redirect(url) if is_web_url(url) else send(render_app(url, words))


def choose_page_words(request: Request, wanted: str | None = None) -> Words:
    """Return the words of the merchant's language, or else of the browser's."""
    return choose_words(wanted, request.headers.get("accept-language"))


def speak(browser: BrowserData, wanted: str | None) -> BrowserData:
    """Let the bank speak the language that the merchant chose for its pages."""
    is_other = wanted is not None and wanted in languages() and browser.language.partition("-")[0].lower() != wanted
    return replace(browser, language=wanted) if is_other and wanted else browser


def respond_readiness(*, ready: bool) -> Response:
    """Answer a page that waits."""
    return Response(msgspec.json.encode({"ready": ready}), headers=HEADERS)


def read_key(request: Request) -> str:
    """Return the key in a path. Raises NotFound for one that was never issued."""
    key = request.path_parameters["key"]
    if len(key) > MAX_KEY or not key.isascii():
        raise NotFound
    return key


async def read_form(request: Request, *, limit_bytes: int, card_fields: Collection[str] = ()) -> dict[str, str]:
    """Read a form as browsers post it. A card number stands in one of `card_fields`, or its field is left out.

    Raises TooLarge.
    """
    body = await request.read_body(limit_bytes=limit_bytes)
    return read_page_form(body, allowed=card_fields, max_fields=MAX_FORM_FIELDS)


def peer_of(request: Request) -> str:
    """Return the address of who is connected."""
    return normalize_address(request.peer)
