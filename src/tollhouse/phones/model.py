"""Phone numbers and codes: parsing, drawing and digests.

A phone number is personal data. Its type does not print it, and only a keyed digest is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta

import phonenumbers

from tollhouse.kernel.card_texts import read_plain

#: The form of the public API, which says at least 5 characters, although some countries have numbers of 4.
PHONE_FORM = re.compile(r"[+0-9(][0-9 .()-]{3,24}")
#: The shortest number with a country code has seven characters; a national one may have fewer digits.
MIN_PHONE_LENGTH, MAX_PHONE_LENGTH = 4, 25
IMPOSSIBLE = "is not a phone number: it has too few or too many digits for its country"

CODE_DIGITS = 6
CODE_LIFE = timedelta(minutes=10)
TRIES = 5
MAX_CODE_LENGTH = 32


class InvalidPhone(ValueError):
    """The text is not a phone number. The message gives the reason without the text."""


@dataclass(frozen=True, slots=True, repr=False)
class Phone:
    """A phone number in E.164: `+`, the country code and the number."""

    number: str

    @classmethod
    def parse(cls, text: str, *, region: str | None = None) -> Phone:
        """Parse a number as people write it. Raises InvalidPhone.

        Without `+` and country code it is a number of `region`, a two-letter country. Without `region` it is rejected,
        because it may belong to a person in another country.
        """
        plain = read_plain(text).strip()
        if not MIN_PHONE_LENGTH <= len(plain) <= MAX_PHONE_LENGTH:
            raise InvalidPhone(f"must have {MIN_PHONE_LENGTH} to {MAX_PHONE_LENGTH} characters")
        if not PHONE_FORM.fullmatch(plain):
            raise InvalidPhone("must be digits, with spaces, dots, hyphens or brackets between; a + may come first")
        if plain.startswith("00"):
            plain = f"+{plain[2:]}"
        if not plain.startswith("+") and region is None:
            raise InvalidPhone("must begin with + and its country code, or be of a region")
        return cls(_write_international(plain, region))

    def __repr__(self) -> str:
        return "Phone(...)"

    __str__ = __repr__


def _write_international(text: str, region: str | None) -> str:
    """Convert a number to E.164. Raises InvalidPhone for a number that is impossible in its country."""
    try:
        known = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            raise InvalidPhone("has an unknown country code, or a region without one") from None
        raise InvalidPhone(IMPOSSIBLE) from None
    if not phonenumbers.is_possible_number(known):
        raise InvalidPhone(IMPOSSIBLE)
    return phonenumbers.format_number(known, phonenumbers.PhoneNumberFormat.E164)


def draw_code() -> str:
    """Draw six digits from the system's random source."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"


def digest_phone(key: bytes, *, merchant_id: int, phone: Phone) -> bytes:
    """Return a keyed digest of a merchant's phone number."""
    return hmac.digest(key, f"phone|{merchant_id}|{phone.number}".encode(), hashlib.sha256)


def digest_code(key: bytes, *, merchant_id: int, phone: Phone, code: str) -> bytes:
    """Return the stored digest of a code, valid for one phone of one merchant."""
    return hmac.digest(key, f"code|{merchant_id}|{phone.number}|{code}".encode(), hashlib.sha256)
