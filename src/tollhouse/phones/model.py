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

#: The form of the wire contract, section 2.1, and its length in characters.
PHONE_FORM = re.compile(r"[+0-9][0-9 .()-]{5,24}")
SHORTEST, LONGEST = 7, 18
FEWEST_DIGITS = 5

CODE_DIGITS = 6
CODE_LIFE = timedelta(minutes=10)
TRIES = 5
LONGEST_CODE = 32


class PhoneMisshapen(ValueError):
    """The text cannot be a phone number; the message says why, without it."""


@dataclass(frozen=True, slots=True, repr=False)
class Phone:
    """A phone number: `+` and digits where it could be read as an international one (E.164), else its digits."""

    number: str

    @classmethod
    def parse(cls, text: str) -> Phone:
        """Read a number as people write it. Raises PhoneMisshapen."""
        if not SHORTEST <= len(text) <= LONGEST:
            raise PhoneMisshapen(f"must have {SHORTEST} to {LONGEST} characters")
        digits = "".join(character for character in text if "0" <= character <= "9")
        if not PHONE_FORM.fullmatch(text) or len(digits) < FEWEST_DIGITS:
            raise PhoneMisshapen("must be digits, with spaces, dots, hyphens or brackets between; a + may come first")
        return cls(_to_international(digits) or digits)

    def __repr__(self) -> str:
        return "Phone(...)"

    __str__ = __repr__


def _to_international(digits: str) -> str | None:
    """Read digits as country code and number, with or without the 00 in front; None where no country has them."""
    try:
        known = phonenumbers.parse("+" + digits.removeprefix("00"))
    except phonenumbers.NumberParseException:
        return None
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
