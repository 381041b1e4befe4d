"""Phones are read as people write them; codes are six digits; neither prints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.phones.model import Phone, PhoneMisshapen, digest_code, digest_phone, draw_code


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+1 (500) 555.0006", "+15005550006"),
        ("+15005550006", "+15005550006"),
        ("15005550006", "+15005550006"),
        ("0015005550006", "+15005550006"),
        ("+49 30 901820", "+4930901820"),
        ("(500) 555-0006"[1:], "5005550006"),
        ("0171 2345678", "01712345678"),
        ("1(23)45 ", "12345"),
    ],
)
def test_phones_are_read_as_written(text: str, number: str) -> None:
    """However it is set out, a number is one number; what no country has is its digits."""
    assert Phone.parse(text).number in {number, f"+{number}"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+12345",
        "+1234567890123456789",
        "(500) 555-0006",
        "+1 500 call",
        "+......",
        "+1500555000\n",
        "١٢٣٤٥٦٧٨",
        "++1500555",
    ],
)
def test_what_is_no_phone_is_refused(text: str) -> None:
    """Too short, too long, another character, or hardly a digit: refused, in words that do not repeat it."""
    with pytest.raises(PhoneMisshapen) as refused:
        Phone.parse(text)
    assert not text or text not in str(refused.value)


@given(st.from_regex(r"\A[+0-9][0-9 .()-]{6,17}\Z"))
def test_whatever_has_the_form_is_taken(text: str) -> None:
    """A text of the contract's form with some digits is a phone, and how it is set out makes no difference."""
    digits = [character for character in text if character.isdigit()]
    if len(digits) < 5:
        return
    phone = Phone.parse(text)
    assert phone.number.removeprefix("+").isdigit()
    if len(digits) >= 7:
        assert Phone.parse("".join(digits)) == phone


def test_phones_do_not_print() -> None:
    """Whoever logs or formats a phone learns nothing."""
    phone = Phone.parse("+15005550006")
    assert "5005550006" not in f"{phone} {phone!r} {[phone]}"


def test_codes_are_six_digits() -> None:
    """A code has six digits, zeros in front too, and is another one each time."""
    codes = {draw_code() for _ in range(200)}
    assert all(len(code) == 6 and code.isascii() and code.isdigit() for code in codes)
    assert len(codes) > 190


def test_digests_are_bound() -> None:
    """The same code has another digest for another merchant, another phone, and under another key."""
    phone, other = Phone.parse("+15005550006"), Phone.parse("+15005550007")
    digests = [
        digest_code(b"k" * 32, merchant_id=1, phone=phone, code="123456"),
        digest_code(b"k" * 32, merchant_id=2, phone=phone, code="123456"),
        digest_code(b"k" * 32, merchant_id=1, phone=other, code="123456"),
        digest_code(b"l" * 32, merchant_id=1, phone=phone, code="123456"),
        digest_code(b"k" * 32, merchant_id=1, phone=phone, code="123457"),
        digest_phone(b"k" * 32, merchant_id=1, phone=phone),
        digest_phone(b"k" * 32, merchant_id=2, phone=phone),
    ]
    assert len(set(digests)) == len(digests)
