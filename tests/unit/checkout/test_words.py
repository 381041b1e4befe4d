"""The words of the payment page."""

from __future__ import annotations

import string
from datetime import UTC, datetime

import pytest

from tollhouse.catalog.prices import parse_offset
from tollhouse.checkout.words import choose_words, languages, words_of
from tollhouse.kernel.money import Currency, Money


def gaps(text: str) -> set[str]:
    """Return the names of what is filled into a text."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", sorted(languages()))
def test_languages_say_the_same(language: str) -> None:
    """Every language has the words that English has, with the same gaps, and none of them is empty."""
    english, words = words_of("en").texts, words_of(language).texts
    assert set(words) == set(english)
    assert all(words.values())
    assert {key: gaps(text) for key, text in words.items()} == {key: gaps(text) for key, text in english.items()}


@pytest.mark.parametrize(
    ("wanted", "accepted", "chosen"),
    [
        ("de", "fr", "de"),
        (None, "de-CH, fr;q=0.8", "de"),
        (None, "pt-BR,es-MX;q=0.9,en;q=0.8", "es"),
        ("pt", "fr", "fr"),
        (None, "", "en"),
        (None, "*", "en"),
        (None, "den,fr", "fr"),
        (None, ",;q,,-", "en"),
    ],
)
def test_the_merchants_language_comes_first(wanted: str | None, accepted: str, chosen: str) -> None:
    """Then the browser's, in its order; then English."""
    assert choose_words(wanted, accepted).language == chosen


@pytest.mark.parametrize(
    ("language", "minor", "currency", "written"),
    [
        ("en", 123_456, "USD", "$1,234.56"),
        ("de", 123_456, "EUR", "1.234,56 €"),
        ("en", 1_000, "JPY", "¥1,000"),
        ("fr", 1_500, "KWD", "1,500 KWD"),
        ("en", 100, "HUF", "HUF 1.00"),
    ],
)
def test_money_has_the_decimals_of_its_currency(language: str, minor: int, currency: str, written: str) -> None:
    """As ISO 4217 gives them, in the manner of the language."""
    text = words_of(language).money(Money(minor, Currency.of(currency)))
    assert text.replace("\N{NO-BREAK SPACE}", " ") == written


def test_times_are_written_out() -> None:
    """Offsets and moments are in the language, with its own grammar."""
    german, english = words_of("de"), words_of("en")
    assert german.when(parse_offset("30d")) == "in 30 Tagen"
    assert german.every(parse_offset("1m")) == "jeden Monat"
    assert english.every(parse_offset("2w")) == "every 2 weeks"
    assert english.moment(datetime(2026, 11, 22, 21, 5, tzinfo=UTC)).endswith("UTC")
