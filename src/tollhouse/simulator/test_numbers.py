"""Numbers for test payment data: of the right brand, with a valid check digit, from ranges without real cards."""

from __future__ import annotations

import secrets

from tollhouse.kernel.card import CardNumber, is_luhn_valid
from tollhouse.simulator.cards import find_card

#: First digits and length, of numbers that processors document for tests and of our published cards.
RANGES = {
    "visa": ("400000", 16),
    "mastercard": ("520000", 16),
    "maestro": ("675964", 16),
    "amex": ("378282", 15),
    "discover": ("601111", 16),
    "diners": ("305693", 14),
    "jcb": ("353011", 16),
    "unionpay": ("620000", 16),
}

#: A bank code that no German bank has: real ones begin with 1 to 8 (Bundesbank, directory of bank codes).
GERMAN_BANK_CODE = "99999999"


def draw_number(kind: str) -> str:
    """Draw a number for a type of test data. It is not a published one; the database checks that it is new."""
    if kind == "sepa":
        return build_iban(f"{secrets.randbelow(10**10):010d}")
    prefix, length = RANGES[kind]
    while True:
        digits = length - len(prefix) - 1
        body = f"{prefix}{secrets.randbelow(10**digits):0{digits}d}"
        number = next(body + check for check in "0123456789" if is_luhn_valid(body + check))
        if find_card(CardNumber(number)) is None:
            return number


def build_iban(account_number: str) -> str:
    """Build a German IBAN (ISO 13616-1) with its check digits (ISO 7064 MOD 97-10, letters as numbers)."""
    account = GERMAN_BANK_CODE + account_number
    country = "".join(str(int(letter, 36)) for letter in "DE")
    return f"DE{98 - int(account + country + '00') % 97:02d}{account}"
