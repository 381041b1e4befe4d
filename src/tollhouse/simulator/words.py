"""The texts of the bank's pages in the cardholder's language: that of the AReq (browserLanguage), or English."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal

from tollhouse.kernel.money import Currency

DEFAULT = "en"


@dataclass(frozen=True, slots=True)
class BankWords:
    """The texts of one language."""

    language: str
    texts: Mapping[str, str]

    def say(self, key: str, **values: object) -> str:
        """Return a text with its placeholders filled."""
        return self.texts[key].format(**values)

    def amount(self, amount_minor: int, currency: str) -> str:
        """Return an amount with all decimals of its currency: 1,019.90."""
        exponent = Currency.of(currency).exponent
        form = f"#,##0.{'0' * exponent}" if exponent else "#,##0"
        amount = Decimal(amount_minor).scaleb(-exponent)
        return format_decimal(amount, form, Locale(self.language), decimal_quantization=False)

    def date(self, moment: datetime) -> str:
        """Return a date with the name of its month."""
        return format_date(moment, "long", locale=Locale(self.language))


@cache
def languages() -> frozenset[str]:
    """Return the languages with texts."""
    names = (entry.name for entry in files(__package__).joinpath("words").iterdir())
    return frozenset(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def choose_language(tag: str | None) -> str:
    """Return the language of a tag such as `de-CH`, or English for a language without texts."""
    language = (tag or "").partition("-")[0].lower()
    return language if language in languages() else DEFAULT


@cache
def _read_words(language: str) -> BankWords:
    text = files(__package__).joinpath("words", f"{language}.toml").read_text(encoding="utf-8")
    return BankWords(language, tomllib.loads(text))


def choose_words(tag: str | None) -> BankWords:
    """Return the texts for the language of a tag, or English ones."""
    return _read_words(choose_language(tag))
