"""Normalize digits in texts.

Card numbers are typed and copied with digits of other scripts, full-width digits, all kinds of blanks and dashes, and
invisible characters. In URLs they are percent-encoded.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

#: The replacement of an invisible character in a normalized text.
UNSEEN = "\0"
#: Rounds of percent-decoding: a URL inside a URL inside a URL.
MAX_DECODINGS = 3
#: Blanks, dashes and other characters between groups of digits.
_SEPARATORS = frozenset("-_./\\\N{MIDDLE DOT}\N{BULLET}\N{MINUS SIGN}\N{FRACTION SLASH}\N{DIVISION SLASH}\t\n\r\v\f ")
_SEPARATOR_CATEGORIES = frozenset({"Zs", "Zl", "Zp", "Pd"})
_UNSEEN_CATEGORIES = frozenset({"Cf", "Mn", "Me"})
_ASCII_LAST = 127


class _Reading(dict[int, str]):
    """A table for `str.translate`.

    Maps digits to ASCII and separators to `-`, keeps full points, drops other non-ASCII text.
    """

    def __init__(self) -> None:
        super().__init__({code: _read_character(chr(code)) for code in range(_ASCII_LAST + 1)})

    def __missing__(self, code: int) -> str:
        return _read_character(chr(code))


class _OnlyDigits(dict[int, str | None]):
    """A table for `str.translate` that keeps only the digits of a normalized text."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        return character if character.isdigit() or character.isalpha() else None


def read_digits(text: str) -> str:
    """Return a text of the same length with digits in ASCII and separators as `-`."""
    return text.translate(_READING)


def read_texts(text: str) -> Iterator[str]:
    """Yield a normalized text, and the same text after each round of percent-decoding."""
    yield read_digits(text)
    for _ in range(MAX_DECODINGS):
        decoded = unquote(text) if "%" in text else text
        if decoded == text:
            return
        text = decoded
        yield read_digits(text)


def read_number(text: str) -> str:
    """Return a typed card number without separators and surrounding characters. Keep all other characters."""
    read = read_digits(text)
    return "".join(character for character in read if character not in "-.\0")


def read_plain(text: str) -> str:
    """Return typed digits, signs and blanks in plain ASCII if such a form exists, without invisible characters."""
    if text.isascii():
        return text
    return "".join(_read_typed(character) for character in text if unicodedata.category(character) != "Cf")


def _read_typed(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    if unicodedata.category(character) in _SEPARATOR_CATEGORIES:
        return " " if unicodedata.category(character).startswith("Z") else "-"
    plain = unicodedata.normalize("NFKC", character)
    return plain if plain.isascii() and len(plain) == 1 else character


def _read_character(character: str) -> str:
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    if character == ".":
        return "."
    category = unicodedata.category(character)
    if character in _SEPARATORS or category in _SEPARATOR_CATEGORIES:
        return "-"
    if category in _UNSEEN_CATEGORIES:
        return UNSEEN
    plain = unicodedata.normalize("NFKC", character) if ord(character) > _ASCII_LAST else character
    return _read_character(plain) if len(plain) == 1 and plain != character else character


_READING = _Reading()
ONLY_DIGITS = _OnlyDigits()
