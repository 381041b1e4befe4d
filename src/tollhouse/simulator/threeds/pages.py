"""The bank's pages: the challenge, the return to the shop, the 3DS Method.

They need no script, no cookie and no external resource; the header of each page says so to the browser.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tollhouse.simulator.model import SimulatedAuthentication
from tollhouse.simulator.threeds.access_control import MAX_CODES, RIGHT_CODE
from tollhouse.simulator.threeds.emv_messages import build_cres, build_method_answer
from tollhouse.simulator.words import BankWords, choose_words

_environment = Environment(
    loader=PackageLoader("tollhouse.simulator"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
)

#: Brand names that differ from the capitalized key.
BRANDS = {"amex": "American Express", "jcb": "JCB", "unionpay": "UnionPay"}

HEADINGS = {"Y": "passed", "01": "canceled", "04": "timed_out", "05": "timed_out"}


@dataclass(frozen=True, slots=True)
class BankPage:
    """A page with its content security policy."""

    html: str
    policy: str


def render_challenge(
    authentication: SimulatedAuthentication, words: BankWords, *, session_data: str, action: str, is_empty: bool = False
) -> BankPage:
    """Render the page that asks for the code, which posts to `action`.

    `is_empty` says that the last submit had no code.
    """
    left = MAX_CODES - authentication.wrong_codes
    return _render(
        "challenge.html",
        words,
        # Only this origin, so that the form never leaves the simulator.
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


def render_return(authentication: SimulatedAuthentication, words: BankWords, *, session_data: str) -> BankPage:
    """Render the form that returns the browser, with the CRes, to the 3DS Server."""
    status = authentication.challenge_cancel or authentication.final_status or ""
    session = {"threeDSSessionData": session_data} if session_data else {}
    return _render(
        "return.html",
        words,
        # The response may redirect anywhere, and browsers check redirects of a form against this list too.
        form_action="*",
        action=authentication.notification_url,
        fields={"cres": build_cres(authentication), **session},
        merchant=authentication.merchant_name,
        passed=authentication.final_status == "Y",
        heading=words.say(HEADINGS.get(status, "failed")),
    )


def render_method(transaction_id: str, url: str) -> BankPage:
    """Render the 3DS Method: a frame that posts back at once."""
    data = build_method_answer(transaction_id)
    return _render("method.html", choose_words(None), form_action="*", ancestors=_origin(url), action=url, data=data)


def render_silent_method() -> BankPage:
    """Render a 3DS Method that does nothing."""
    return _render("method.html", choose_words(None), form_action="'none'", ancestors="*", action=None)


def render_problem(words: BankWords) -> BankPage:
    """Render a page for a browser without a known challenge."""
    return _render("problem.html", words, form_action="'none'")


def answer_path(base_url: str) -> str:
    """Return the path that the challenge page posts to, on any host."""
    return f"{urlsplit(base_url).path}/acs/challenge/answer"


def _origin(url: str) -> str:
    """Return the origin of a URL for a policy, without characters that could end the policy's list."""
    parts = urlsplit(url)
    return "".join(character for character in f"{parts.scheme}://{parts.netloc}" if character not in "; ,'")


def _render(template: str, words: BankWords, *, form_action: str, ancestors: str = "'none'", **values: Any) -> BankPage:
    nonce = secrets.token_urlsafe(16)
    ours = f"'nonce-{nonce}'"
    policy = f"default-src 'none'; style-src {ours}; script-src {ours}; form-action {form_action}; base-uri 'none'"
    policy += f"; frame-ancestors {ancestors}"
    return BankPage(_environment.get_template(template).render(nonce=nonce, words=words, **values), policy)
