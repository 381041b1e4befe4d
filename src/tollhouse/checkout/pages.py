"""The cardholder's pages, rendered: what each shows, and what it may do, which a header tells the browser.

No cookie, nothing from anywhere else, no script but our own files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tollhouse.checkout.assets import asset, integrity

if TYPE_CHECKING:
    from tollhouse.checkout.words import Words
    from tollhouse.payments.authentication.challenge_flow import Challenge, Collect, Ended
    from tollhouse.payments.model import Payment

STYLED = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
SCRIPTED = f"{STYLED}; script-src 'self'"

#: Without a script the page looks again by itself.
REFRESH_SECONDS = 2
TROUBLE_REFRESH_SECONDS = 5

environment = Environment(
    loader=PackageLoader("tollhouse.checkout"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
)
environment.globals.update(asset=asset, integrity=integrity)


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """A page with the content security policy that it needs."""

    html: str
    policy: str


def render_collect(step: Collect, words: Words, *, path: str) -> HtmlPage:
    """Render the page that asks the browser what it is, and shows it to the bank where there is a 3DS Method."""
    method = _origin(step.method_url) if step.method_url else ""
    policy = f"{SCRIPTED}; form-action 'self' {method}".rstrip()
    policy += f"; frame-src 'self' {method}" if method else ""
    more = {"path": path, "method_url": step.method_url, "method_data": step.method_data}
    return _render("collect.html", policy, words, step.payment, **more)


def render_challenge(step: Challenge, words: Words) -> HtmlPage:
    """Render the form that takes the browser to the ACS.

    An ACS may redirect what is posted to it to wherever it likes, and browsers hold that against `form-action` too.
    """
    policy = f"{SCRIPTED}; form-action *"
    return _render("challenge.html", policy, words, step.payment, acs_url=step.acs_url, creq=step.creq)


def render_wait(
    payment: Payment | None, words: Words, *, path: str, poll_path: str | None, about: str = "busy"
) -> HtmlPage:
    """Render a wait; with a path to poll it goes on when there is something new, without one at once.

    `about` is the beginning of its words: `confirm` for a confirmation in the bank's app.
    """
    return _render(
        "wait.html",
        f"{SCRIPTED}; connect-src 'self'; form-action 'none'",
        words,
        payment,
        path=path,
        poll_path=poll_path,
        refresh_seconds=REFRESH_SECONDS if poll_path else 0,
        heading=words.say(f"{about}_title"),
        text=words.say(f"{about}_text"),
    )


def render_ended(step: Ended, words: Words) -> HtmlPage:
    """Render the end of a link that ran out."""
    return _render("ended.html", f"{STYLED}; form-action 'none'", words, step.payment, url=step.url)


def render_app(url: str, words: Words) -> HtmlPage:
    """Render the link to an app.

    A browser does not follow a redirect to an app's own scheme if it comes from a form whose page has a policy.
    """
    return _render("app.html", f"{STYLED}; form-action 'none'", words, None, url=url)


def render_method() -> HtmlPage:
    """Render the end of a 3DS Method in the hidden frame, which only our own page may frame."""
    policy = "default-src 'none'; script-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'self'"
    return HtmlPage(environment.get_template("method.html").render(), policy)


def render_problem(about: str, words: Words, *, comes_back: bool = False) -> HtmlPage:
    """Render a page for a browser that cannot be served: the words that begin with `about`.

    One whose trouble will pass looks again by itself.
    """
    return _render(
        "problem.html",
        f"{STYLED}; form-action 'none'",
        words,
        None,
        heading=words.say(f"{about}_title"),
        text=words.say(f"{about}_text"),
        refresh_seconds=TROUBLE_REFRESH_SECONDS if comes_back else None,
    )


def _render(template: str, policy: str, words: Words, payment: Payment | None, **values: Any) -> HtmlPage:
    shown = {"amount": words.money(payment.money), "last_four": payment.source.masked_number[-4:]} if payment else {}
    html = environment.get_template(template).render(words=words, payment=payment, **shown, **values)
    return HtmlPage(html, policy)


def _origin(url: str) -> str:
    """Return the origin of an address that came from the Directory, as a policy names it.

    What could end the policy's list early is not part of an origin.
    """
    parts = urlsplit(url)
    return "".join(character for character in f"{parts.scheme}://{parts.netloc}" if character not in "; ,'")
