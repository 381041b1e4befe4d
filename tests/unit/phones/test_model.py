"""Phones are read as people write them; codes are six digits; neither prints."""

from __future__ import annotations

import phonenumbers
import pytest

from tollhouse.phones.model import InvalidPhone, Phone, digest_code, digest_phone, draw_code

FORMS = [
    phonenumbers.PhoneNumberFormat.E164,
    phonenumbers.PhoneNumberFormat.INTERNATIONAL,
    phonenumbers.PhoneNumberFormat.NATIONAL,
    phonenumbers.PhoneNumberFormat.RFC3966,
]


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("+1 (500) 555.0006", None, "+15005550006"),
        ("+15005550006", None, "+15005550006"),
        ("0015005550006", None, "+15005550006"),
        (" +49 30 901820 ", None, "+4930901820"),
        ("\uff0b49\u00a030\u2011901820\u200e", None, "+4930901820"),
        ("+44 (0)20 7946 0018", None, "+442079460018"),
        ("212 555-1234", "US", "+12125551234"),
        ("(212) 555-1234", "US", "+12125551234"),
        ("1 212 555 1234", "US", "+12125551234"),
        ("0171 2345678", "DE", "+491712345678"),
        ("+49 171 2345678", "US", "+491712345678"),
        ("0049 171 2345678", "FR", "+491712345678"),
    ],
)
def test_phones_are_read_as_written(text: str, region: str | None, number: str) -> None:
    """Different forms of a number are one number; a region names the country of a national one."""
    assert Phone.parse(text, region=region).number == number


@pytest.mark.parametrize(
    "text", ["212 555-1234", "(212) 555-1234", "15005550006", "0171 2345678", "5005551", "491712345678"]
)
def test_national_numbers_need_a_region(text: str) -> None:
    """Digits alone may be a number of any country, and are the number of nobody until a country is named."""
    with pytest.raises(InvalidPhone, match="region"):
        Phone.parse(text)


@pytest.mark.parametrize(
    ("text", "region"),
    [
        *((text, None) for text in ("", "+12345", "+1234567890123456789", "+1 500 call", "+......", "+1500555\n0001")),
        *(
            (text, None)
            for text in ("++1500555", "+999 1234567", "+1 212 555", "+49 1", "+1 212 555 12345", "+0 12345")
        ),
        *(("212 555-1234", region) for region in ("XX", "AQ", "us", "USA")),
        *(("555", "US"), ("12345678901234", "US"), ("", "US")),
    ],
)
def test_invalid_phone_is_rejected(text: str, region: str | None) -> None:
    """Too short or too long for its country, another character, or no country with phones: rejected, unrepeated."""
    with pytest.raises(InvalidPhone) as refused:
        Phone.parse(text, region=region)
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_every_form_of_a_number_is_the_same(region: str, form: int) -> None:
    """A country's own example, written in any form that is used for phones, is one number, and it is possible."""
    example = phonenumbers.example_number(region)
    assert example
    written = phonenumbers.format_number(example, form).removeprefix("tel:").partition(";")[0]
    expected = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    assert Phone.parse(written, region=region).number == expected
    assert written.startswith("+") is (form != phonenumbers.PhoneNumberFormat.NATIONAL)


def test_phones_do_not_print() -> None:
    """A logged or formatted phone shows nothing."""
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
