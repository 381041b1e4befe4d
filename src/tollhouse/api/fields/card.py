"""Card data in request bodies, read into types that cannot be printed. Faults reveal no card data."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import core_schema

from tollhouse.api.fields.values import TypedText
from tollhouse.api.reading.body import Body, Canonical
from tollhouse.kernel.card import Brand, Card, CardDataError, CardNumber, Cvv, Expiry
from tollhouse.kernel.card_texts import read_number, read_plain

MONTH_FORM, YEAR_FORM = "^(0[1-9]|1[0-2])$", "^[0-9]{2}$"


def _read_number(value: Any) -> CardNumber:
    text = read_digits(value)
    return CardNumber.parse(text if text.isascii() and text.isdigit() else read_number(text))


def read_digits(value: Any) -> str:
    """Read digits, given as a text or a number. Raises CardDataError."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise CardDataError("must be digits only")
    return str(value)


def read_code(value: Any, brand: Brand | None = None) -> Cvv:
    """Read a security code, given as a text or a number, with digits of any script. Raises CardDataError."""
    return Cvv.parse(read_plain(read_digits(value)).strip(), brand=brand)


def _read_month(value: Any) -> str:
    """Read `"03"`, `"3"` or `3`."""
    text = read_plain(read_digits(value)).strip()
    month = text.zfill(2) if text else text
    Expiry.parse(month, "00")
    return month


def _read_year(value: Any) -> str:
    """Read `"30"`, `"2030"`, or both as numbers."""
    text = read_plain(read_digits(value)).strip()
    if isinstance(value, int):
        text = text.zfill(2)
    return text.removeprefix("20") if len(text) == 4 else text


Number = Annotated[
    CardNumber,
    BeforeValidator(_read_number),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{12,19}$", "examples": ["4024007179366348"]}),
]
Month = Annotated[
    str,
    BeforeValidator(_read_month),
    Field(json_schema_extra={"pattern": MONTH_FORM, "examples": ["12"]}),
    Canonical(core_schema.str_schema(pattern=MONTH_FORM)),
]
Year = Annotated[
    str,
    BeforeValidator(_read_year),
    Field(json_schema_extra={"pattern": YEAR_FORM, "examples": ["30"]}),
    Canonical(core_schema.str_schema(pattern=YEAR_FORM)),
]
Code = Annotated[Cvv, WithJsonSchema({"type": "string", "pattern": "^[0-9]{3,4}$", "examples": ["009"]})]


class CardFields(Body):
    """The card fields that `/tokenize` and the source `card` share."""

    number: Number = Field(
        description="The card number, 12 to 19 digits. Groups with spaces or hyphens are accepted too."
    )
    expirationMonth: Month = Field(description="Two digits. One digit is accepted too.")
    expirationYear: Year = Field(description="The last two digits of the year. All four are accepted too.")
    cvv: Code | None = Field(None, description="The security code. It is never stored after the response.")
    cardHolder: TypedText | None = Field(None, description="The name on the card.", examples=["Jane Smith"])
    zip: TypedText | None = Field(None, description="The postal code of the billing address.")

    @field_validator("expirationYear")
    @classmethod
    def _check_year(cls, year: str, info: ValidationInfo) -> str:
        """Reject an expired card in live; stage accepts past dates."""
        expiry = Expiry.parse(info.data.get("expirationMonth", "12"), year)
        today = (info.context or {}).get("refuse_expired_before")
        if today is not None and expiry.is_past(year=today.year, month=today.month):
            raise CardDataError("is past; use another card")
        return year

    @field_validator("cvv", mode="before")
    @classmethod
    def _read_code(cls, value: Any, info: ValidationInfo) -> Cvv:
        number = info.data.get("number")
        return read_code(value, number.brand if isinstance(number, CardNumber) else None)

    @property
    def expiry(self) -> Expiry:
        """The expiry as a month of a year."""
        return Expiry.parse(self.expirationMonth, self.expirationYear)

    def to_card(self) -> Card:
        """Return the card without its security code."""
        return Card(self.number, self.expiry, self.cardHolder, self.zip)
