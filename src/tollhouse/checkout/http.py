"""What all pages of the checkout send and read: pages with their headers, redirects, forms."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from litestar import Request, Response

from tollhouse.checkout.pages import Page, render_app
from tollhouse.checkout.words import choose_words, languages
from tollhouse.http.screen import read_page_form
from tollhouse.kernel.addresses import normalize_address
from tollhouse.kernel.errors import NotFound
from tollhouse.kernel.urls import is_web_url

if TYPE_CHECKING:
    from tollhouse.checkout.words import Words
    from tollhouse.threeds.model import BrowserData

AnyRequest = Request[Any, Any, Any]

MAX_FORM_FIELDS = 32
MAX_KEY = 64

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def send(page: Page, *, status_code: int = 200, headers: Mapping[str, str] | None = None) -> Response[str]:
    """Send a page with its policy."""
    every = {**HEADERS, "Content-Security-Policy": page.policy, **(headers or {})}
    return Response(page.html, media_type="text/html", headers=every, status_code=status_code)


def redirect(url: str) -> Response[str]:
    """Send the browser on with a GET, whatever it came with."""
    return Response("", media_type="text/html", headers={**HEADERS, "Location": url}, status_code=303)


def leave(url: str, words: Words) -> Response[str]:
    """Send the browser to the merchant: by a redirect, or by a link if the URL is one of an app."""
    return redirect(url) if is_web_url(url) else send(render_app(url, words))


def choose_page_words(request: AnyRequest, wanted: str | None = None) -> Words:
    """Return the words of the merchant's language, or else of the browser's."""
    return choose_words(wanted, request.headers.get("accept-language", ""))


def speak(browser: BrowserData, wanted: str | None) -> BrowserData:
    """Let the bank speak the language that the merchant chose for its pages."""
    is_other = wanted is not None and wanted in languages() and browser.language.partition("-")[0].lower() != wanted
    return replace(browser, language=wanted) if is_other and wanted else browser


def respond_readiness(*, ready: bool) -> Response[dict[str, bool]]:
    """Answer a page that waits."""
    return Response({"ready": ready}, headers=HEADERS)


def check_key(key: str) -> str:
    """Return a key that may be one. Raises NotFound."""
    if len(key) > MAX_KEY or not key.isascii():
        raise NotFound
    return key


async def read_form(request: AnyRequest, *, card_fields: Collection[str] = ()) -> dict[str, str]:
    """Read a form as browsers post it. A card number stands in one of `card_fields`, or its field is left out."""
    return read_page_form(await request.body(), allowed=card_fields, max_fields=MAX_FORM_FIELDS)


def peer_of(request: AnyRequest) -> str:
    """Return the address of who is connected."""
    return normalize_address(request.client.host) if request.client else ""
