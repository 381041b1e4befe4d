"""The words of the bank's pages."""

from __future__ import annotations

import string
from datetime import UTC, datetime

import pytest

from tollhouse.checkout.words import languages as page_languages
from tollhouse.simulator.words import choose_language, choose_words, languages


def gaps(text: str) -> set[str]:
    """Return the names of what is filled into a text."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_the_bank_speaks_what_the_payment_page_speaks() -> None:
    """There is no language in which a page leads to a bank that does not know it."""
    assert languages() == page_languages()


@pytest.mark.parametrize("language", sorted(languages()))
def test_languages_say_the_same(language: str) -> None:
    """Every language has the words that English has, with the same gaps, and none of them is empty."""
    english, words = choose_words("en").texts, choose_words(language).texts
    assert all(words.values())
    assert {key: gaps(text) for key, text in words.items()} == {key: gaps(text) for key, text in english.items()}


@pytest.mark.parametrize(
    ("tag", "language"), [("de-CH", "de"), ("DE", "de"), ("nl", "en"), ("", "en"), (None, "en"), ("../de", "en")]
)
def test_an_unknown_language_is_english(tag: str | None, language: str) -> None:
    """A tag names its language in its first part; one without words is English."""
    assert choose_language(tag) == language


def test_amounts_and_dates_are_written_out() -> None:
    """Amounts have the decimals of their currency, in the manner of the language."""
    german, english = choose_words("de"), choose_words("en")
    assert german.amount(101_990, "EUR") == "1.019,90"
    assert (english.amount(101_990, "USD"), english.amount(1_000, "JPY")) == ("1,019.90", "1,000")
    assert german.date(datetime(2026, 3, 7, tzinfo=UTC)) == "7. März 2026"
