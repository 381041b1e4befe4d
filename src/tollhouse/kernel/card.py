"""Types for card data that cannot be printed by mistake.

A `CardNumber` prints as `402400****6348` and a `Cvv` as `***`, in formatted strings, in logs and in tracebacks with
locals. Neither can be pickled or serialized as JSON. Only the vault and the message to an acquirer call `reveal`; an
import contract and a test check this.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NoReturn

from msgspec import Struct

from tollhouse.kernel.card_texts import ONLY_DIGITS, read_texts

MIN_NUMBER_LENGTH, MAX_NUMBER_LENGTH = 12, 19
_NO_DIGITS = bytes(code for code in range(256) if not chr(code).isdigit() or code > 127)


def mask_digits(digits: str) -> str:
    """Show the first six and the last four digits of a card number, and only the first four of the shortest numbers."""
    shown = 4 if len(digits) <= MIN_NUMBER_LENGTH else 6
    return f"{digits[:shown]}****{digits[-4:]}"


class CardDataError(ValueError):
    """Card data is malformed. The message never contains card data."""


class _Secret:
    """A text that is readable through `reveal` only."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the clear text. Call this as late as possible, and keep no variable that outlives the call."""
        return self._text

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self._text == other._text

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("card data is not serialized")


class CardNumber(_Secret):
    """A card number: 12 to 19 digits, with a valid Luhn check digit if the brand uses one."""

    __slots__ = ("_brand",)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._brand: Brand | None = None

    @classmethod
    def parse(cls, text: str) -> CardNumber:
        """Parse a card number. Raises CardDataError with a text suitable for an API response."""
        if not (text.isascii() and text.isdigit()):
            raise CardDataError("must be digits only")
        if not MIN_NUMBER_LENGTH <= len(text) <= MAX_NUMBER_LENGTH:
            raise CardDataError(f"must have {MIN_NUMBER_LENGTH} to {MAX_NUMBER_LENGTH} digits")
        number = cls(text)
        if number.brand.luhn and not is_luhn_valid(text):
            raise CardDataError("is not a card number: its check digit is wrong")
        return number

    @property
    def masked(self) -> str:
        """The number with its middle hidden: the only form that may be shown."""
        return mask_digits(self._text)

    def occurs_in(self, text: str) -> bool:
        """Return whether this number occurs in a text, in any grouping, also within a longer run of digits."""
        if not self.may_stand_in(text.encode("utf-8", "replace")):
            return False
        return any(self._text in reading.translate(ONLY_DIGITS) for reading in read_texts(text))

    def may_stand_in(self, json: bytes) -> bool:
        """Return whether any text of JSON must be checked with `occurs_in`: most bodies have no digits that fit."""
        is_plain = json.isascii() and b"%" not in json and b"\\" not in json and b"E+" not in json
        return not is_plain or self._text.encode() in json.translate(None, _NO_DIGITS)

    @property
    def brand(self) -> Brand:
        """The brand, derived from the prefix."""
        if self._brand is None:
            self._brand = detect_brand(self._text)
        return self._brand

    def __str__(self) -> str:
        return self.masked


class Cvv(_Secret):
    """A card security code: 3 or 4 digits, depending on the brand."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str, *, brand: Brand | None = None) -> Cvv:
        """Parse a security code. Raises CardDataError with a text suitable for an API response."""
        lengths = (brand.cvv_length,) if brand and brand.cvv_length else (3, 4)
        if not (text.isascii() and text.isdigit() and len(text) in lengths):
            raise CardDataError(f"must have {' or '.join(map(str, lengths))} digits")
        return cls(text)

    def __len__(self) -> int:
        return len(self._text)


class Expiry(Struct, frozen=True):
    """The last month in which a card is valid. `year` has four digits."""

    month: int
    year: int

    @classmethod
    def parse(cls, month: str, year: str) -> Expiry:
        """Parse `"12"` and `"25"` as December 2025. Raises CardDataError if the month or year is invalid."""
        if not (month.isascii() and month.isdigit() and len(month) == 2 and 1 <= int(month) <= 12):
            raise CardDataError("must be 01 to 12")
        if not (year.isascii() and year.isdigit() and len(year) == 2):
            raise CardDataError("must be the last two digits of a year")
        return cls(int(month), 2000 + int(year))

    def is_past(self, *, year: int, month: int) -> bool:
        """Return whether the card was expired in the given month."""
        return (self.year, self.month) < (year, month)


@dataclass(frozen=True, slots=True)
class Card:
    """A card as the cardholder entered it, without its security code, which is kept separately."""

    number: CardNumber
    expiry: Expiry
    holder: str | None = None
    zip: str | None = None


@dataclass(frozen=True, slots=True)
class Brand:
    """The rules of a card brand for its numbers."""

    name: str
    lengths: tuple[int, ...] = ()
    cvv_length: int | None = None
    luhn: bool = True
    #: Days within which an authorization may be captured. Sources disagree. This is the shortest period that any of
    #: them gives for a customer's card-not-present payment with Visa, Mastercard or American Express, and it applies to
    #: all brands.
    authorization_days: int = 7


#: The brand of numbers without a known prefix.
UNKNOWN_BRAND = Brand("unknown")


def is_luhn_valid(digits: str) -> bool:
    """Check the last digit by the Luhn formula (ISO/IEC 7812-1, annex B)."""
    values = digits.encode().translate(_VALUES)
    return (sum(values[-1::-2]) + sum(values[-2::-2].translate(_DOUBLED))) % 10 == 0


_VALUES = bytes.maketrans(b"0123456789", bytes(range(10)))
#: The sum of the digits of the double of each digit.
_DOUBLED = bytes.maketrans(bytes(range(10)), bytes(sum(divmod(2 * digit, 10)) for digit in range(10)))


def detect_brand(digits: str) -> Brand:
    """Return the brand with the longest prefix that matches the number, or `UNKNOWN_BRAND`."""
    by_prefix, lengths = _brands_by_prefix()
    for length in lengths:
        brand = by_prefix.get(digits[:length])
        if brand is not None:
            return brand
    return UNKNOWN_BRAND


def find_brand(name: str) -> Brand:
    """Return the brand of this name, or `UNKNOWN_BRAND`."""
    return next((brand for brand in _brands_by_prefix()[0].values() if brand.name == name), UNKNOWN_BRAND)


@cache
def _brands_by_prefix() -> tuple[dict[str, Brand], list[int]]:
    """Return the brands by their prefixes, and the lengths of these, longest first."""
    table = tomllib.loads(files(__package__).joinpath("brands.toml").read_text(encoding="utf-8"))
    by_prefix: dict[str, Brand] = {}
    for name, row in table.items():
        brand = Brand(name, tuple(row["lengths"]), row["cvv_length"], row.get("luhn", True))
        for entry in row["prefixes"]:
            first, _, last = entry.partition("-")
            for prefix in range(int(first), int(last or first) + 1):
                by_prefix[str(prefix)] = brand
    return by_prefix, sorted({len(prefix) for prefix in by_prefix}, reverse=True)
