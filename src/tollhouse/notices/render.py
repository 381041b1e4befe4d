"""Render emails from facts. The same facts give the same email.

Texts of merchants and consumers are inserted as plain text; the template engine escapes them in the HTML part. In
headers they are one line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tollhouse.kernel.money import Money
from tollhouse.notices.model import DEFAULT_LANGUAGE, ENCODED_WORD, Email, EmailFacts, Notice

MAX_NAME_LENGTH = 64


_environment = Environment(
    loader=PackageLoader("tollhouse.notices"),
    autoescape=select_autoescape(),  # for the HTML part only
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@cache
def load_words() -> Mapping[str, Mapping[str, Any]]:
    """Load the texts of all languages."""
    return tomllib.loads(files("tollhouse.notices").joinpath("data", "words.toml").read_text(encoding="utf-8"))


def choose_language(language_tag: str) -> str:
    """Return the language of an email: German for `de`, `de-AT` and `DE`; English for a language without texts."""
    language = language_tag.strip()[:2].lower()
    return language if language in load_words() else DEFAULT_LANGUAGE


def render_email(notice: Notice) -> Email:
    """Render an email."""
    language, facts = choose_language(notice.language), notice.facts
    words = load_words()[language]
    shop = one_line(facts.shop)
    values = {
        "language": language,
        "shop": shop,
        "subject": words[f"{facts.kind}_subject"].format(shop=shop),
        "heading": words[f"{facts.kind}_heading"],
        "lead": words[f"{facts.kind}_lead"].format(shop=shop),
        "amount_label": words[f"{facts.kind}_amount"] if facts.money else "",
        "amount": format_amount(facts.money, words["separators"]) if facts.money else "",
        "rows": _build_rows(facts, words),
        "foot": words["subscription_foot" if facts.subscription_id else "foot"].format(shop=shop),
    }
    return Email(
        name=_name(notice),
        to=notice.recipient,
        sender_name=shop[:MAX_NAME_LENGTH],
        subject=values["subject"],
        text=_environment.get_template("letter.txt").render(**values),
        html=_environment.get_template("letter.html").render(**values),
        at=facts.at,
    )


def _name(notice: Notice) -> str:
    """Return the name of an email. A transaction has one email, a subscription may have several."""
    facts = notice.facts
    about = facts.transaction_id or f"{facts.subscription_id}.{notice.notice_id}"
    return f"{facts.kind}.{notice.merchant_id}.{about}"


def _build_rows(facts: EmailFacts, words: Mapping[str, Any]) -> list[tuple[str, str]]:
    card = words["card_text"].format(brand=facts.brand.capitalize(), number=f"**** {facts.masked_number[-4:]}")
    rows = (
        ("what", one_line(facts.title)),
        ("date", f"{facts.at:%Y-%m-%d %H:%M} UTC"),
        ("card", card if facts.masked_number else None),
        ("approval", facts.approval_code),
        ("subscription", facts.subscription_id),
        ("order", facts.order_id),
        ("transaction", facts.transaction_id),
        ("statement", one_line(facts.descriptor)),
    )
    return [(words[name], value) for name, value in rows if value]


def format_amount(money: Money, separators: tuple[str, str] | list[str]) -> str:
    """Format an amount with the separators of a language: 1.019,90 EUR."""
    number, _, code = money.to_text().rpartition(" ")
    thousands, decimals = separators
    swapped = number.replace(",", "\0").replace(".", decimals).replace("\0", thousands)
    return f"{swapped} {code}"


def one_line(text: str) -> str:
    """Return a text as one line, without control characters and characters that change the writing direction.

    The result contains no encoded word (RFC 2047), because mail libraries decode those anywhere, and they may contain
    line ends.
    """
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line.replace(ENCODED_WORD, "= ?")
