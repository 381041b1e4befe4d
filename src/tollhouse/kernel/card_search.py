"""A detector of card numbers in texts: bodies, IDs, addresses, messages and log lines.

A match begins and ends at the edge of a group of digits (leading zeros aside), has a brand's prefix and length, and a
valid check digit. Blanks, dashes, points, slashes and underscores may separate its groups. The gateway's IDs, order
numbers and times do not match.

Rules for ambiguous texts:

- UnionPay: only numbers with a valid check digit match. Otherwise every number that begins with 62 would match.
  `CardNumber.occurs_in` finds the number of the request's own card exactly.
- Twelve and thirteen digits: no match after a `+` or in a phone field; no match with the check digit of a GTIN, which
  is on every product; Maestro matches only by the prefixes that the brand has registered.
- Two groups separated by one point are a decimal fraction.
- UUIDs and hexadecimal hashes are not groups of digits, although they may contain some.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from tollhouse.kernel.card import (
    MAX_NUMBER_LENGTH,
    MIN_NUMBER_LENGTH,
    UNKNOWN_BRAND,
    Brand,
    detect_brand,
    is_luhn_valid,
    mask_digits,
)
from tollhouse.kernel.card_texts import UNSEEN, read_digits, read_texts

#: Twelve digits that are close together and begin like some brand's numbers. Most texts contain none and are not
#: searched further. The lookbehind follows the first digit, which makes scans three times as fast.
_CANDIDATE = re.compile(
    r"[1-68](?<![1-9][1-68])(?:(?<!1)|(?<=1)[-+_./\\\s\0]{0,4}8)(?:[-+_./\\\s\0]{0,4}[0-9]){10}[-+_./\\\s\0]{0,4}[0-9]",
    re.ASCII,
)
_CANDIDATE_IN_BYTES = re.compile(_CANDIDATE.pattern.encode(), re.ASCII)
_FIRST_DIGITS = frozenset("1234568")
#: Groups of digits, after `read_digits`, separated by at most four characters.
_RUN = re.compile(r"\+?[0-9](?:[-+.\0]{0,4}[0-9])*", re.ASCII)
_GROUP = re.compile(r"[0-9](?:\0{0,4}[0-9])*", re.ASCII)
_OPAQUE = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{20,})(?![0-9A-Za-z])",
    re.ASCII | re.IGNORECASE,
)
#: A hash has at least this many letters. Fewer are digits next to a word.
MIN_HEX_LETTERS = 4
#: Numbers up to this length are often phone numbers or product numbers.
MAX_AMBIGUOUS = 13
#: Maestro prefixes with fewer than 16 digits (the brand's registered ranges).
MAESTRO_SHORT = ("5018", "5020", "5038", "5893", "6304", "6759", "6761", "6762", "6763")
#: Registered Maestro prefixes. The brand table has wider ones, which guess the brand of a number while it is typed.
MAESTRO_REGISTERED = ("50", "56", "57", "58", "59", "63", "67", "4936")
MIN_MAESTRO_DIGITS = 16
#: One in ten numbers with a brand's prefix and length has a valid check digit. A run of digits with this many failures
#: was made to waste processor time, and counts as a card number.
MAX_FAILURES = 300

Span = tuple[int, int]


def may_hold_card_number(body: bytes) -> bool:
    """Return whether the texts of a JSON body must be searched. One scan of plain bytes saves twenty scans of texts."""
    body = body.replace(b"\\/", b"/")  # an escape that PHP writes
    is_plain = body.isascii() and b"%" not in body and b"\\" not in body
    return not is_plain or _CANDIDATE_IN_BYTES.search(body) is not None


def holds_card_number(text: str, *, is_phone: bool = False) -> bool:
    """Return whether a text contains a card number. In a phone field, shorter numbers are phone numbers."""
    if len(text) < MIN_NUMBER_LENGTH:
        return False
    if text.isascii() and "%" not in text:
        return _CANDIDATE.search(text) is not None and _has_span(read_digits(text), is_phone=is_phone)
    if "%" not in text and sum(map(str.isdigit, text)) < MIN_NUMBER_LENGTH:
        return False
    readings = (reading.replace(UNSEEN, "") for reading in read_texts(text))
    return any(_CANDIDATE.search(reading) and _has_span(reading, is_phone=is_phone) for reading in readings)


def _has_span(reading: str, *, is_phone: bool) -> bool:
    return next(_find_spans(reading, is_phone=is_phone), None) is not None


def mask_card_numbers(text: str) -> str:
    """Mask each card number in a text: keep its first six and last four digits."""
    if text.isascii() and not _CANDIDATE.search(text):
        return text
    masked, end = [], 0
    reading = read_digits(text)
    for start, stop in _find_spans(reading):
        digits = "".join(character for character in reading[start:stop] if character.isdigit())
        masked += [text[end:start], mask_digits(digits)]
        end = stop
    return "".join([*masked, text[end:]])


def _find_spans(reading: str, *, is_phone: bool = False) -> Iterator[Span]:
    """Yield the spans of card numbers in a normalized text. Spans do not overlap."""
    reading = _OPAQUE.sub(_hide_opaque, reading)
    for run in _RUN.finditer(reading):
        if run.end() - run.start() >= MIN_NUMBER_LENGTH:
            yield from _find_in_run(reading, run, is_phone=is_phone)


def _hide_opaque(found: re.Match[str]) -> str:
    letters = sum(character.isalpha() for character in found[0])
    is_digits = "-" not in found[0] and letters < MIN_HEX_LETTERS
    return found[0] if is_digits else "x" * len(found[0])


def _find_in_run(reading: str, run: re.Match[str], *, is_phone: bool) -> Iterator[Span]:
    groups = list(_GROUP.finditer(reading, run.start(), run.end()))
    texts = [found[0].replace(UNSEEN, "") for found in groups]
    is_short = is_phone or (run[0].startswith("+") and sum(map(len, texts)) <= MAX_AMBIGUOUS)
    shortest = MAX_AMBIGUOUS + 1 if is_short else MIN_NUMBER_LENGTH
    decimals = _find_decimals(reading, groups)
    first = failures = 0
    while first < len(groups):
        last = None
        for end in _choose_ends(texts, decimals, first, shortest):
            digits = "".join(texts[first : end + 1]).lstrip("0")
            if is_luhn_valid(digits) and (len(digits) > MAX_AMBIGUOUS or not is_gtin(digits)):
                last = end
                break
            failures += 1
        if last is None and failures <= MAX_FAILURES:
            first += 1
            continue
        end = len(groups) - 1 if last is None else last
        yield groups[first].start(), groups[end].end()
        first, failures = end + 1, 0


def _find_decimals(reading: str, groups: list[re.Match[str]]) -> set[int]:
    """Return the groups that are decimals of a fraction: preceded by one point, with no further points around them."""
    joints = [reading[one.end() : other.start()] == "." for one, other in itertools.pairwise(groups)]
    padded = [False, *joints, False]
    return {at + 1 for at in range(len(joints)) if padded[at : at + 3] == [False, True, False]}


def _choose_ends(texts: list[str], decimals: set[int], first: int, shortest: int) -> Iterator[int]:
    """Yield the last groups of all runs that begin with one group and match by prefix and length."""
    digits = texts[first].lstrip("0")
    if first in decimals or digits[:1] not in _FIRST_DIGITS:
        return
    if len(digits) < len(texts[first]):
        shortest = MAX_AMBIGUOUS + 1
    brand = None
    for last in range(first, len(texts)):
        if last > first:
            digits += texts[last]
        if len(digits) > MAX_NUMBER_LENGTH:
            return
        if len(digits) < shortest:
            continue
        brand = brand or detect_brand(digits)
        if brand is UNKNOWN_BRAND:
            return
        is_fraction = last == first + 1 and last in decimals
        if len(digits) in brand.lengths and not is_fraction and _is_registered(brand, digits):
            yield last


def _is_registered(brand: Brand, digits: str) -> bool:
    """Return whether a Maestro prefix is registered, rather than a guess for a number being typed."""
    if brand.name != "maestro":
        return True
    return digits.startswith(MAESTRO_REGISTERED if len(digits) >= MIN_MAESTRO_DIGITS else MAESTRO_SHORT)


def is_gtin(digits: str) -> bool:
    """Return whether the check digit is valid for a product number (GS1 General Specifications, 7.9.1)."""
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return total % 10 == 0
