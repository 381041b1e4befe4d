"""Types of fields that request models share: texts with limits, URLs, scalars, metadata."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from pydantic_core import core_schema

from tollhouse.api.reading.body import Canonical
from tollhouse.kernel.addresses import MAX_TEXT_CHARACTERS, read_address
from tollhouse.kernel.card_texts import read_plain
from tollhouse.kernel.countries import NO_COUNTRY, read_country
from tollhouse.kernel.urls import (
    LIVE,
    MAX_URL_LENGTH,
    STAGE,
    AddressPolicy,
    AddressRefused,
    check_return_url,
    check_url,
)
from tollhouse.wire.render import render_json

#: Maximum length of typed texts: names, postal and email addresses, titles. It is generous, so that no payment fails
#: because of it.
MAX_TYPED_CHARACTERS = 255
EMAIL_FORM = r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)*$"
MOMENT_FORM = re.compile(
    r"\d{4}-\d\d-\d\d(?P<parting>[ T])\d\d:\d\d:\d\d(\.\d{1,6})?(?P<zone>Z|[+-]\d\d:?\d\d)?", re.ASCII
)
#: `0000-00-00`, also with a zero time.
ZERO_DAY = re.compile(r"0000-00-00([ T]00:00(:00(\.0+)?)?Z?)?")
MAX_DAY_CHARACTERS = 64
MAX_METADATA_LENGTH = 16 * 1024
MAX_SCALAR_LENGTH = 64
EMULATE_CODE_FORM = re.compile(r"[0-9A-Za-z]{4,6}")
#: Maximum length of the code of a country or a currency.
CODE_FORM = "^[A-Z]{3}$"
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
IPV4_FORM = rf"^({_OCTET}\.){{3}}{_OCTET}$"


def text(longest: int, shortest: int = 1) -> Any:
    """Return the type of a text with a range of lengths."""
    return Annotated[str, Field(min_length=shortest, max_length=longest)]


def read_day(value: Any) -> str | None:
    """Read a date; a zero date means no date.

    Raises ValueError with a text for the response.
    """
    text = read_plain(value).strip() if isinstance(value, str) and len(value) <= MAX_DAY_CHARACTERS else ""
    if ZERO_DAY.fullmatch(text):
        return None
    try:
        is_day = date.fromisoformat(text).isoformat() == text
    except ValueError:
        is_day = False
    if not is_day:
        raise ValueError("must be a day as YYYY-MM-DD")
    return text


def read_moment(value: Any) -> datetime:
    """Read a time: `YYYY-MM-DD hh:mm:ss` in UTC, as the public client sends it, or ISO 8601 with its zone.

    Raises ValueError with a text for the response.
    """
    form = MOMENT_FORM.fullmatch(value) if isinstance(value, str) else None
    try:
        if form is not None and (form["zone"] or form["parting"] == " "):
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # an invalid day or hour, or a zone beyond the calendar
        pass
    raise ValueError("must be a time as YYYY-MM-DD hh:mm:ss in UTC, or in ISO 8601 with its zone")


def read_empty_list(value: Any) -> Any:
    """Read `[]` as `{}`, because PHP writes both as `[]`."""
    return {} if value == [] else value


def _read_url(value: Any, info: ValidationInfo) -> str:
    """Read a URL that the gateway calls. Reject one that every call would reject."""
    return _check(check_url, value, info)


def _read_return_url(value: Any, info: ValidationInfo) -> str:
    """Read a URL to which browsers are redirected: of the web or an app."""
    return _check(check_return_url, value, info)


def _check(check: Callable[[str, AddressPolicy], None], value: Any, info: ValidationInfo) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a URL")
    try:
        check(value, choose_policy(info.context))
    except AddressRefused as error:
        raise ValueError(str(error)) from None
    return value


def choose_policy(context: Mapping[str, Any] | None) -> AddressPolicy:
    """Return the policy for merchants' URLs from the context, or the default."""
    context = context or {}
    policy: AddressPolicy = context.get("address_policy") or (LIVE if context.get("is_live") else STAGE)
    return policy


def _check_emulate_code(code: str, info: ValidationInfo) -> str:
    if (info.context or {}).get("is_live"):
        raise ValueError("is for stage only")
    if not EMULATE_CODE_FORM.fullmatch(code):
        raise ValueError("must have 4 to 6 letters or digits")
    return code


def _read_scalar(value: Any) -> str | int | Decimal:
    """Read a number or a switch as sent; it may be a text."""
    if not isinstance(value, str | int | Decimal) or not 0 < len(str(value)) <= MAX_SCALAR_LENGTH:
        raise ValueError("must be a text, a number, true or false")
    return value


def _read_metadata(value: Any) -> dict[str, Any] | list[Any]:
    if not isinstance(value, dict | list):
        raise ValueError("must be an object")
    if len(render_json(value)) > MAX_METADATA_LENGTH:
        raise ValueError(f"must have at most {MAX_METADATA_LENGTH} bytes")
    return value


def _read_country(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(NO_COUNTRY)
    return read_country(value)


def _read_ip(value: Any) -> str:
    try:
        return str(read_address(value if isinstance(value, str) else ""))
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address") from None


#: A text typed by consumers or shown to them.
TypedText = Annotated[str, Field(max_length=MAX_TYPED_CHARACTERS)]

Country = Annotated[
    str,
    BeforeValidator(_read_country),
    Field(json_schema_extra={"pattern": CODE_FORM, "examples": ["USA"]}),
    Canonical(core_schema.str_schema(pattern=CODE_FORM)),
]

#: A date of birth in the form of the wire; None for a zero date.
Day = Annotated[
    str | None,
    BeforeValidator(read_day),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["1990-12-31"]}),
]

#: An IP address, also with a port, in brackets, or first in a list, as in headers.
IpAddress = Annotated[
    str,
    BeforeValidator(_read_ip),
    Field(json_schema_extra={"maxLength": MAX_TEXT_CHARACTERS, "examples": ["203.0.113.45"]}),
    Canonical(core_schema.str_schema(pattern=IPV4_FORM)),
]

# Numbers and switches that shops send as they have them, texts too; they are kept as sent.
AnyNumber = Annotated[Any, BeforeValidator(_read_scalar), WithJsonSchema({"type": "integer"})]
AnySwitch = Annotated[Any, BeforeValidator(_read_scalar), WithJsonSchema({"type": "boolean"})]
#: An object; a list is accepted too.
Metadata = Annotated[
    Any, BeforeValidator(_read_metadata), WithJsonSchema({"type": "object", "additionalProperties": True})
]

Url = Annotated[
    str, BeforeValidator(_read_url), Field(json_schema_extra={"format": "uri", "maxLength": MAX_URL_LENGTH})
]
ReturnUrl = Annotated[
    str, BeforeValidator(_read_return_url), Field(json_schema_extra={"format": "uri", "maxLength": MAX_URL_LENGTH})
]

Moment = Annotated[
    datetime,
    BeforeValidator(read_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-12-31T23:59:59+01:00"]}),
]

EmulateCode = Annotated[str, AfterValidator(_check_emulate_code)]
