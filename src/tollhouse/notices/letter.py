"""From facts to a letter: the same facts give the same letter, whoever renders it. Pure but for its templates.

What merchants and consumers wrote stands in it as text and is never markup; in the HTML form the template engine
escapes it. In headers it is one line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tollhouse.notices.model import DEFAULT_LANGUAGE, ENCODED_WORD, Email

if TYPE_CHECKING:
    from tollhouse.kernel.money import Money
    from tollhouse.notices.model import Facts, Notice

MAX_NAME_LENGTH = 64


_environment = Environment(
    loader=PackageLoader("tollhouse.notices"),
    autoescape=select_autoescape(),  # the HTML form; plain text is text
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@cache
def load_words() -> Mapping[str, Mapping[str, Any]]:
    """Read the words of every language."""
    return tomllib.loads(files("tollhouse.notices").joinpath("data", "words.toml").read_text(encoding="utf-8"))


def choose_language(wanted: str) -> str:
    """Return the language of a letter: of `de`, `de-AT` and `DE` it is German; where there are no words, English."""
    language = wanted.strip()[:2].lower()
    return language if language in load_words() else DEFAULT_LANGUAGE


def build_letter(notice: Notice) -> Email:
    """Write a letter."""
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
        "amount": write_amount(facts.money, words["separators"]) if facts.money else "",
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
    """Name a letter: of a transaction there is one, a subscription may have several."""
    facts = notice.facts
    about = facts.transaction_id or f"{facts.subscription_id}.{notice.notice_id}"
    return f"{facts.kind}.{notice.merchant_id}.{about}"


def _build_rows(facts: Facts, words: Mapping[str, Any]) -> list[tuple[str, str]]:
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


def write_amount(money: Money, separators: tuple[str, str] | list[str]) -> str:
    """Write an amount with the separators of a language: 1.019,90 EUR."""
    number, _, code = money.to_text().rpartition(" ")
    thousands, decimals = separators
    swapped = number.replace(",", "\0").replace(".", decimals).replace("\0", thousands)
    return f"{swapped} {code}"


def one_line(text: str) -> str:
    """Write a text on one line, without control characters or what changes the direction of writing.

    Nor may it look like an encoded word (RFC 2047): the mail library reads one wherever it finds it, and what it stands
    for may be a line end.
    """
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line.replace(ENCODED_WORD, "= ?")
