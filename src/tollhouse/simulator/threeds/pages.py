"""The pages of the bank: the challenge, the way back, the 3DS Method. Rendered here, decided elsewhere.

They need no script, no cookie and nothing from anywhere else; the header that comes with each says so to the browser.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tollhouse.simulator.threeds.access_control import MAX_CODES, RIGHT_CODE
from tollhouse.simulator.threeds.emv_messages import build_cres, build_method_answer
from tollhouse.simulator.words import choose_words

if TYPE_CHECKING:
    from tollhouse.simulator.model import Authentication
    from tollhouse.simulator.words import Words

_environment = Environment(
    loader=PackageLoader("tollhouse.simulator"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
)

#: Brands as they write themselves, where that is not a capital first letter.
BRANDS = {"amex": "American Express", "jcb": "JCB", "unionpay": "UnionPay"}

HEADINGS = {"Y": "passed", "01": "canceled", "04": "timed_out", "05": "timed_out"}


@dataclass(frozen=True, slots=True)
class Page:
    """A page with the content security policy that it needs."""

    html: str
    policy: str


def render_challenge(
    authentication: Authentication, words: Words, *, session_data: str, action: str, is_empty: bool = False
) -> Page:
    """Render the page that asks for the code, at path `action`; `is_empty` says that it came back without one."""
    left = MAX_CODES - authentication.wrong_codes
    return _render(
        "challenge.html",
        words,
        # Only here, so that a form of ours never leaves us.
        form_action="'self'",
        action=f"{action}?lang={words.language}",
        acs_trans_id=authentication.acs_trans_id,
        attempt=authentication.wrong_codes,
        session_data=session_data,
        merchant=authentication.merchant_name,
        amount=words.amount(authentication.amount_minor, authentication.currency),
        currency=authentication.currency,
        brand=BRANDS.get(authentication.brand, authentication.brand.capitalize()),
        last_four=authentication.masked_number[-4:],
        date=words.date(authentication.created_at),
        problem="no_code" if is_empty else "wrong_code" if left < MAX_CODES else None,
        attempts_left=left,
        right_code=RIGHT_CODE,
    )


def render_return(authentication: Authentication, words: Words, *, session_data: str) -> Page:
    """Render the form that takes the browser, with the CRes, back to the 3DS Server."""
    status = authentication.challenge_cancel or authentication.final_status or ""
    session = {"threeDSSessionData": session_data} if session_data else {}
    return _render(
        "return.html",
        words,
        # What answers there may redirect anywhere, and browsers hold redirects of a form against this list too.
        form_action="*",
        action=authentication.notification_url,
        fields={"cres": build_cres(authentication), **session},
        merchant=authentication.merchant_name,
        passed=authentication.final_status == "Y",
        heading=words.say(HEADINGS.get(status, "failed")),
    )


def render_method(transaction_id: str, url: str) -> Page:
    """Render the 3DS Method: a frame that posts straight back."""
    data = build_method_answer(transaction_id)
    return _render("method.html", choose_words(None), form_action="*", ancestors=_origin(url), action=url, data=data)


def render_silent_method() -> Page:
    """Render a 3DS Method that does nothing."""
    return _render("method.html", choose_words(None), form_action="'none'", ancestors="*", action=None)


def render_problem(words: Words) -> Page:
    """Render a page for a browser that came with nothing we know."""
    return _render("problem.html", words, form_action="'none'")


def answer_path(base_url: str) -> str:
    """Return the path that the challenge page posts to, on whatever host it was opened."""
    return f"{urlsplit(base_url).path}/acs/challenge/answer"


def _origin(url: str) -> str:
    """Return the origin of an address, as a policy names it; what could end the policy's list is no part of one."""
    parts = urlsplit(url)
    return "".join(character for character in f"{parts.scheme}://{parts.netloc}" if character not in "; ,'")


def _render(template: str, words: Words, *, form_action: str, ancestors: str = "'none'", **values: Any) -> Page:
    nonce = secrets.token_urlsafe(16)
    ours = f"'nonce-{nonce}'"
    policy = f"default-src 'none'; style-src {ours}; script-src {ours}; form-action {form_action}; base-uri 'none'"
    policy += f"; frame-ancestors {ancestors}"
    return Page(_environment.get_template(template).render(nonce=nonce, words=words, **values), policy)
