"""Phones and codes: how a number is read, how a code is drawn, and what is kept of both. Pure.

A phone number is personal data. It is a type that does not print itself, and what is stored of it is a keyed digest.
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

#: The form of the wire contract, section 2.1, and its length: from 5, but some countries have numbers of 4.
PHONE_FORM = re.compile(r"[+0-9(][0-9 .()-]{3,24}")
#: The shortest number with its country code has seven characters; a national one may have fewer digits.
SHORTEST, LONGEST = 4, 25
IMPOSSIBLE = "is no number of a phone: it has too few or too many digits for its country"

CODE_DIGITS = 6
CODE_LIFE = timedelta(minutes=10)
TRIES = 5
MAX_CODE_LENGTH = 32


class PhoneMisshapen(ValueError):
    """The text cannot be a phone number; the message says why, without it."""


@dataclass(frozen=True, slots=True, repr=False)
class Phone:
    """A phone number of E.164: `+`, the country code and the number."""

    number: str

    @classmethod
    def parse(cls, text: str, *, region: str | None = None) -> Phone:
        """Read a number as people write it. Raises PhoneMisshapen.

        Without `+` and country code it is a number of `region`, a country of two letters; without both it may be the
        number of somebody in another country, and is refused.
        """
        plain = read_plain(text).strip()
        if not SHORTEST <= len(plain) <= LONGEST:
            raise PhoneMisshapen(f"must have {SHORTEST} to {LONGEST} characters")
        if not PHONE_FORM.fullmatch(plain):
            raise PhoneMisshapen("must be digits, with spaces, dots, hyphens or brackets between; a + may come first")
        if plain.startswith("00"):
            plain = f"+{plain[2:]}"
        if not plain.startswith("+") and region is None:
            raise PhoneMisshapen("must begin with + and its country code, or be of a region")
        return cls(_write_international(plain, region))

    def __repr__(self) -> str:
        return "Phone(...)"

    __str__ = __repr__


def _write_international(text: str, region: str | None) -> str:
    """Write a number as E.164. Raises PhoneMisshapen for one that no phone of its country can have."""
    try:
        known = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            raise PhoneMisshapen("has no country code that exists, or is of a region that has none") from None
        raise PhoneMisshapen(IMPOSSIBLE) from None
    if not phonenumbers.is_possible_number(known):
        raise PhoneMisshapen(IMPOSSIBLE)
    return phonenumbers.format_number(known, phonenumbers.PhoneNumberFormat.E164)


def draw_code() -> str:
    """Draw six digits from the system's source of randomness."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"


def digest_phone(key: bytes, *, merchant_id: int, phone: Phone) -> bytes:
    """Name a merchant's phone without knowing it."""
    return hmac.digest(key, f"phone|{merchant_id}|{phone.number}".encode(), hashlib.sha256)


def digest_code(key: bytes, *, merchant_id: int, phone: Phone, code: str) -> bytes:
    """Return what is stored of a code: good for that phone of that merchant only."""
    return hmac.digest(key, f"code|{merchant_id}|{phone.number}|{code}".encode(), hashlib.sha256)
