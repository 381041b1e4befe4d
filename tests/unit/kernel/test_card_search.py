"""The detector of card numbers: what it finds however it is written, and what it leaves alone."""

from __future__ import annotations

import json
import string
from datetime import datetime
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tollhouse.kernel.card import CardNumber, detect_brand, is_luhn_valid
from tollhouse.kernel.card_search import holds_card_number, is_gtin, mask_card_numbers, may_hold_card_number
from tollhouse.kernel.card_texts import read_plain
from tollhouse.simulator.cards import published_cards

VISA = "4024007179366348"
#: Of each brand: a prefix and a length.
FORMS = (
    ("4", 16),
    ("4", 19),
    ("51", 16),
    ("2221", 16),
    ("34", 15),
    ("37", 15),
    ("36", 14),
    ("3005", 14),
    ("6011", 16),
    ("65", 16),
    ("3528", 16),
    ("6222", 16),
    ("623", 19),
    ("8110", 16),
    ("5018", 16),
    ("6759", 16),
    ("6759", 19),
)
SEPARATORS = (" ", "-", "/", "_", ".", "\t", "\n", "\u00a0", "\u2009", "\u2013", "\u2212", " - ", "\u3000", "\uff0d")
UNSEEN = ("\u200b", "\u200c", "\u200e", "\u202f", "\u2060", "\ufeff", "\u00ad", "\u202a")
SCRIPTS = (0x0660, 0x06F0, 0x0966, 0xFF10, 0x1D7CE, 0x1D7F6)


def complete(body: str) -> str:
    """Append the digit that makes a number right."""
    return next(body + digit for digit in string.digits if is_luhn_valid(body + digit))


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """A card number of any brand."""
    prefix, length = draw(st.sampled_from(FORMS))
    rest = draw(st.text(string.digits, min_size=length - len(prefix) - 1, max_size=length - len(prefix) - 1))
    return complete(prefix + rest)


@st.composite
def groupings(draw: st.DrawFn, number: str) -> str:
    """A number in groups of any size with any separators."""
    cuts = sorted(draw(st.sets(st.integers(1, len(number) - 1), max_size=6)))
    groups = [number[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
    assume(len(groups) != 2)
    written = groups[0]
    for group in groups[1:]:
        written += draw(st.sampled_from(SEPARATORS)) + group
    return written


@given(st.data(), numbers())
def test_numbers_are_found_however_they_are_written(data: st.DataObject, number: str) -> None:
    """In groups, with digits of another script, with unseen characters, percent-encoded, in a sentence or a URL."""
    written = data.draw(groupings(number))
    if data.draw(st.booleans()):
        first = data.draw(st.sampled_from(SCRIPTS))
        written = "".join(chr(first + int(each)) if each in string.digits else each for each in written)
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(written)))
        written = written[:at] + data.draw(st.sampled_from(UNSEEN)) + written[at:]
    if data.draw(st.booleans()):
        written = "".join(f"%{ord(each):02X}" if each in string.digits else quote(each, safe="") for each in written)
    for _ in range(data.draw(st.integers(0, 2))):
        written = quote(written, safe="")
    before, after = data.draw(st.sampled_from([("", ""), ("card ", " of Jane"), ("x", "y"), ("https://a/?c=", "&d=1")]))
    assert holds_card_number(before + written + after)


@given(numbers(), st.sampled_from(["{}", "pay {} now", '{{"text":"{}"}}', "00{}"]))
def test_numbers_are_masked(number: str, form: str) -> None:
    """Of a number in a text the first six digits and the last four stay, and the text around it."""
    masked = mask_card_numbers(form.format(number))
    assert number not in masked
    assert f"****{number[-4:]}" in masked


@given(st.integers(0, 10**9), st.integers(0, 99), st.sampled_from(["{}", "order {}", "https://a.example/payment/{}"]))
def test_our_own_ids_are_none(number: int, installation: int, form: str) -> None:
    """The ids of this gateway begin with 1 and have 16 digits: no brand begins so."""
    text = form.format(10**15 + 100 * number + installation)
    assert not holds_card_number(text)
    assert mask_card_numbers(text) == text


@given(st.uuids(), st.uuids())
def test_random_ids_are_none(one: UUID, other: UUID) -> None:
    """UUIDs and hexadecimal hashes are none, whatever digits they happen to have."""
    for text in (
        str(one),
        f"{one},{other}",
        one.hex,
        one.hex + other.hex,
        f"https://a.example/{one}/{other.hex}?x={one}",
    ):
        assert not holds_card_number(text) or one.hex.isdigit() or _has_few_letters(one.hex, other.hex)


def _has_few_letters(*texts: str) -> bool:
    return any(sum(each.isalpha() for each in text) < 4 for text in texts)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2199, 12, 31)), st.integers(0, 9999))  # noqa: DTZ001 - any clock
def test_times_and_order_numbers_are_none(moment: datetime, number: int) -> None:
    """A number that begins with a year of four digits is no card number, in any form."""
    for form in ("%Y%m%d%H%M", "%Y%m%d%H%M%S", "%Y-%m-%d %H:%M:%S.%f", "%Y/%m/%d", "%Y%m%d%H%M%S%f"):
        assert not holds_card_number(f"Order {moment.strftime(form)} returned")
    assert not holds_card_number(f"{moment:%Y%m%d}{number:04d}")
    assert not holds_card_number(str(int(moment.timestamp() * 1000)) if moment.year < 2038 else "")


@given(st.integers(10**11, 10**12 - 1))
def test_products_are_none(number: int) -> None:
    """A GTIN with a right check digit (EAN-13, UPC-A) is a product."""
    ean = next(f"{number}{digit}" for digit in string.digits if is_gtin(f"{number}{digit}"))
    assert not holds_card_number(f"ean {ean}")


@given(st.sampled_from(["49", "43", "44", "41", "33", "34", "39", "51", "52", "55", "57", "63", "65"]), st.data())
def test_phones_are_none(country: str, data: st.DataObject) -> None:
    """An international number is a phone: after a plus anywhere, and without one in a field for phones."""
    digits = data.draw(st.text(string.digits, min_size=8, max_size=11))
    for text in (f"+{country}{digits}", f"+{country} {digits[:3]} {digits[3:]}", f"call +{country}-{digits}!"):
        assert not holds_card_number(text)
    assert not holds_card_number(f"{country} {digits}", is_phone=True)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6))
def test_fractions_are_none(number: float) -> None:
    """A fraction with many digits is a coordinate or a rate."""
    assert not holds_card_number(f"lat {number:.14f}")


@given(numbers(), st.text(string.digits, min_size=1, max_size=8))
def test_numbers_inside_longer_digits_are_none(number: str, more: str) -> None:
    """A number ends where its group ends: digits beside it make another number, which mostly is none."""
    longer = number + more
    assume(len(longer) > 19)
    assert not holds_card_number(longer)


@given(st.integers(0, 10**16 - 1))
def test_wrong_check_digit_is_no_match(number: int) -> None:
    """Sixteen digits match only with a valid brand and check digit."""
    digits = f"{number:016d}"
    is_number = holds_card_number(digits)
    assert not is_number or is_luhn_valid(digits) or is_luhn_valid(digits.lstrip("0"))
    if not is_luhn_valid(digits):
        assert not is_number or digits.startswith("0")


@pytest.mark.parametrize(
    "text",
    [
        "Order 202604150005 returned",
        "1611735028123456",
        "5f0c2a7e-1234-4000-8000-000000000000",
        "4024007179366349",
        "402400717936",
        "203.0.113.45",
        "2001:db8:4024:71:7936:6348:1:2",
        "DE89 3704 0044 0532 0130 00",
        "GB29 NWBK 6016 1331 9268 19",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.6099.109 Safari/537.36",
        "4006381333931",
        "600000000123",
        "4, 0, 2, 4, 0, 0, 7, 1, 7, 9, 3, 6, 6, 3, 4, 8",
        "",
    ],
)
def test_other_numbers_do_not_match(text: str) -> None:
    """Order numbers, times, IDs, addresses, bank accounts, products and lists do not match."""
    assert not holds_card_number(text)
    assert mask_card_numbers(text) == text


def test_published_test_cards_are_found() -> None:
    """The number of each published card is found: of all brands, also Visa's of thirteen digits."""
    more = (
        "4222222222222",
        "378282246310005",
        "30569309025904",
        "6200000000000005",
        "6759649826438453",
        "3530111333300000",
    )
    for number in [*(each.number for each in published_cards().values()), *more]:
        assert holds_card_number(f"card {number}"), number
        assert holds_card_number(" ".join(number)), number


def test_unionpay_without_a_check_digit_is_found_as_the_own_card_only() -> None:
    """A number that has no check digit is told from others only where it is known."""
    number = "6222 0210 0011 6245 700"
    assert not holds_card_number(number)
    assert detect_brand("6222021000116245700").name == "unionpay"
    assert CardNumber.parse("6222021000116245700").occurs_in(f"paid with {number}")


def test_the_own_card_is_found_in_any_form() -> None:
    """The number of the request's own card is found among more digits, in any grouping, script and encoding."""
    for text in (
        f"99{VISA}99",
        "4024,0071 79366348",
        "%34024007179366348",
        "４０２４００７１７９３６６３４８",
        "4024|0071|7936|6348",
    ):
        assert CardNumber(VISA).occurs_in(text), text


def test_a_text_made_to_keep_the_detector_busy_counts_as_one() -> None:
    """Thousands of near numbers are not searched to the end."""
    assert holds_card_number("4 " * 30_000)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("4024\u200e0071\u202f7936 6348", "40240071 7936 6348"),
        ("٠١٢٣٤٥٦٧٨٩", "0123456789"),
        ("０４／２９", "04/29"),
        ("12\u201330", "12-30"),
        ("Jane\u200c Smith", "Jane Smith"),
        ("Жанна", "Жанна"),
    ],
)
def test_typed_text_is_read_as_a_person_reads_it(typed: str, read: str) -> None:
    """Digits and signs of any script are plain, and what nobody sees is not there."""
    assert read_plain(typed) == read


@given(st.data(), numbers(), st.booleans())
def test_a_body_with_a_number_is_always_looked_at(data: st.DataObject, number: str, escaped: bool) -> None:  # noqa: FBT001 - hypothesis passes it
    """One look at the bytes of a body misses no number that a look at its texts would find."""
    body = {"a": ["x", {"b": data.draw(groupings(number))}], number: int(number)}
    assert may_hold_card_number(json.dumps(body, ensure_ascii=escaped).encode())
    assert may_hold_card_number(json.dumps([int(number)]).encode())
    assert not may_hold_card_number(b'{"metadata":{"order":"Order 4711","id":1000123456789012}}')
