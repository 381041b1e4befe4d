"""Rendering of the cardholder's pages, each with its content security policy, and their static files.

The pages set no cookies, load nothing from other servers, and run no scripts except our own files.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tollhouse.checkout.words import Words
from tollhouse.payments.authentication.challenge_flow import Challenge, Collect, Ended
from tollhouse.payments.model import Payment

STYLED = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
SCRIPTED = f"{STYLED}; script-src 'self'"

#: Interval at which a page without scripts loads again.
REFRESH_INTERVAL_SECONDS = 2
ERROR_REFRESH_INTERVAL_SECONDS = 5

environment = Environment(
    loader=PackageLoader("tollhouse.checkout"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
)

#: The static files of the pages.
ASSETS_PATH = "/3ds/assets/"
ASSET_TYPES = {"css": "text/css", "js": "text/javascript"}
ASSET_NAMES = frozenset({"challenge.js", "checkout.css", "collect.js", "method.js", "pay.css", "pay.js", "wait.js"})


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """A page with its content security policy."""

    html: str
    policy: str


def render_collect(step: Collect, words: Words, *, path: str) -> HtmlPage:
    """Render the page that collects data of the browser and runs the issuer's 3DS Method, if there is one."""
    method = _origin(step.method_url) if step.method_url else ""
    policy = f"{SCRIPTED}; form-action 'self' {method}".rstrip()
    policy += f"; frame-src 'self' {method}" if method else ""
    more = {"path": path, "method_url": step.method_url, "method_data": step.method_data}
    return _render("collect.html", policy, words, step.payment, **more)


def render_challenge(step: Challenge, words: Words) -> HtmlPage:
    """Render the form that sends the browser to the ACS.

    An ACS may redirect the POST to any origin, and browsers check redirects against `form-action` too.
    """
    policy = f"{SCRIPTED}; form-action *"
    return _render("challenge.html", policy, words, step.payment, acs_url=step.acs_url, creq=step.creq)


def render_wait(
    payment: Payment | None, words: Words, *, path: str, poll_path: str | None, about: str = "busy"
) -> HtmlPage:
    """Render a waiting page. With a path to poll, it continues when the next step is ready; without one, at once.

    `about` is the prefix of its text keys: `confirm` for a confirmation in the bank's app.
    """
    return _render(
        "wait.html",
        f"{SCRIPTED}; connect-src 'self'; form-action 'none'",
        words,
        payment,
        path=path,
        poll_path=poll_path,
        refresh_seconds=REFRESH_INTERVAL_SECONDS if poll_path else 0,
        heading=words.say(f"{about}_title"),
        text=words.say(f"{about}_text"),
    )


def render_ended(step: Ended, words: Words) -> HtmlPage:
    """Render the page for a challenge that expired."""
    return _render("ended.html", f"{STYLED}; form-action 'none'", words, step.payment, url=step.url)


def render_app(url: str, words: Words) -> HtmlPage:
    """Render the link to an app.

    A browser does not follow a redirect to an app's own scheme if it comes from a form whose page has a policy.
    """
    return _render("app.html", f"{STYLED}; form-action 'none'", words, None, url=url)


def render_method() -> HtmlPage:
    """Render the end of a 3DS Method in the hidden frame. Only our own page may frame it."""
    policy = "default-src 'none'; script-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'self'"
    return HtmlPage(environment.get_template("method.html").render(), policy)


def render_problem(about: str, words: Words, *, is_temporary: bool = False) -> HtmlPage:
    """Render an error page. `about` is the prefix of its text keys.

    If the error is temporary, the page loads again by itself.
    """
    return _render(
        "problem.html",
        f"{STYLED}; form-action 'none'",
        words,
        None,
        heading=words.say(f"{about}_title"),
        text=words.say(f"{about}_text"),
        refresh_seconds=ERROR_REFRESH_INTERVAL_SECONDS if is_temporary else None,
    )


def _render(template: str, policy: str, words: Words, payment: Payment | None, **values: Any) -> HtmlPage:
    shown = {"amount": words.money(payment.money), "last_four": payment.source.masked_number[-4:]} if payment else {}
    html = environment.get_template(template).render(words=words, payment=payment, **shown, **values)
    return HtmlPage(html, policy)


def _origin(url: str) -> str:
    """Return the origin of a URL from the Directory Server, for a content security policy.

    Characters that could end the policy's list of sources are left out.
    """
    parts = urlsplit(url)
    return "".join(character for character in f"{parts.scheme}://{parts.netloc}" if character not in "; ,'")


@cache
def read_asset(name: str) -> bytes:
    """Return a file's content. Raises KeyError for an unknown name."""
    if name not in ASSET_NAMES:
        raise KeyError(name)
    return files(__package__).joinpath("static", name).read_bytes()


@cache
def asset(name: str) -> str:
    """Return a file's URL, which changes with its content."""
    return f"{ASSETS_PATH}{name}?v={hashlib.sha256(read_asset(name)).hexdigest()[:12]}"


@cache
def integrity(name: str) -> str:
    """Return a file's digest for Subresource Integrity."""
    return "sha256-" + base64.b64encode(hashlib.sha256(read_asset(name)).digest()).decode()


environment.globals.update(asset=asset, integrity=integrity)
