"""The texts of the payment page in the consumer's language, with its formats of amounts and times.

A language is a file in `words/`. Amounts, periods and dates are formatted by babel with the tables of Unicode CLDR.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files

from babel import Locale
from babel.dates import format_date, format_time, format_timedelta
from babel.numbers import parse_pattern

from tollhouse.catalog.model import Offset
from tollhouse.kernel.money import Money

DEFAULT_LANGUAGE = "en"
#: Maximum number of languages read from the browser's header.
MAX_ACCEPTED_LANGUAGES = 20

#: A currency code in place of a symbol needs a space before the digits.
LETTER_BEFORE_DIGIT = re.compile(r"(?<=[A-Z])(?=[0-9])")

UNITS = {"d": ("day", 1), "w": ("week", 7), "m": ("month", 30), "y": ("year", 365)}


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of the pages in one language."""

    language: str
    locale: Locale
    texts: Mapping[str, str]

    def say(self, key: str, **values: object) -> str:
        """Return a text with its placeholders filled in."""
        return self.texts[key].format(**values)

    def money(self, money: Money) -> str:
        """Format an amount with the decimals that ISO 4217 gives its currency: $19.99, 19,99 €, JP¥1,000."""
        exponent = money.currency.exponent
        amount = Decimal(money.amount_minor).scaleb(-exponent)
        pattern = parse_pattern(self.locale.currency_formats["standard"].pattern)
        pattern.frac_prec = (exponent, exponent)
        text = pattern.apply(amount, self.locale, currency=money.currency.code, currency_digits=False)
        return LETTER_BEFORE_DIGIT.sub("\N{NO-BREAK SPACE}", text)

    def when(self, offset: Offset) -> str:
        """Describe the time until a charge: in 3 days."""
        unit, days = UNITS[offset.unit]
        distance = timedelta(days=days * offset.count)
        return format_timedelta(
            distance,
            granularity=unit,  # type: ignore[arg-type]  # one of the four above
            threshold=math.inf,
            add_direction=True,
            locale=self.locale,
        )

    def every(self, offset: Offset) -> str:
        """Describe the interval of a charge: every 30 days, every month."""
        key = f"every_1_{offset.unit}" if offset.count == 1 else f"every_{offset.unit}"
        return self.say(key, count=offset.count)

    def moment(self, moment: datetime) -> str:
        """Format a time in UTC, because the consumer's time zone is unknown."""
        day = format_date(moment, "medium", locale=self.locale)
        return f"{day}, {format_time(moment, 'short', locale=self.locale)} UTC"


@cache
def words_of(language: str) -> Words:
    """Return the texts of a language. Raises KeyError if the language is not supported."""
    if language not in languages():
        raise KeyError(language)
    text = files(__package__).joinpath("words", f"{language}.toml").read_text(encoding="utf-8")
    return Words(language, Locale(language), tomllib.loads(text))


@cache
def languages() -> frozenset[str]:
    """Return the supported languages."""
    names = (entry.name for entry in files(__package__).joinpath("words").iterdir())
    return frozenset(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def choose_words(wanted: str | None, accepted: str) -> Words:
    """Choose the merchant's language, else the first of the browser's (Accept-Language), else English.

    Browsers list their languages in the order of preference, so weights are not read.
    """
    tags = [wanted or "", *(part.partition(";")[0] for part in accepted.split(",")[:MAX_ACCEPTED_LANGUAGES])]
    known = (tag.strip()[:2].lower() for tag in tags if tag.strip()[2:3] in {"", "-"})
    return words_of(next((tag for tag in known if tag in languages()), DEFAULT_LANGUAGE))
