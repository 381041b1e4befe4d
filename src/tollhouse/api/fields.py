"""Kinds of fields that request models share: texts with bounds, URLs, scalars as shops send them, metadata."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

from tollhouse.wire.render import render_json

#: Of a country: ISO 3166-1 alpha-3. Any three letters, for shops send some that the standard has not.
COUNTRY_FORM = "^[A-Z]{3}$"
EMAIL_FORM = r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)*$"
MOMENT_FORM = re.compile(
    r"\d{4}-\d\d-\d\d(?P<parting>[ T])\d\d:\d\d:\d\d(\.\d{1,6})?(?P<zone>Z|[+-]\d\d:?\d\d)?", re.ASCII
)
LONGEST_URL = 2_048
#: Blanks and control characters of ASCII.
UNPRINTABLE = re.compile("[\x00-\x20\x7f]")
LONGEST_METADATA = 16 * 1024
LONGEST_SCALAR = 64


def text(longest: int, shortest: int = 1) -> Any:
    """Return the kind of a text with so many characters."""
    return Annotated[str, Field(min_length=shortest, max_length=longest)]


def read_day(text: str) -> str:
    """Read a day of the calendar. Raises ValueError with a text that is fit for an answer."""
    try:
        is_day = date.fromisoformat(text).isoformat() == text
    except ValueError:
        is_day = False
    if not is_day:
        raise ValueError("must be a day as YYYY-MM-DD")
    return text


def read_moment(value: Any) -> datetime:
    """Read a time: `YYYY-MM-DD hh:mm:ss` in UTC, as the public client sends it, or ISO 8601 with its zone.

    Raises ValueError with a text that is fit for an answer.
    """
    form = MOMENT_FORM.fullmatch(value) if isinstance(value, str) else None
    try:
        if form is not None and (form["zone"] or form["parting"] == " "):
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # no such day or hour, or a zone that leads out of the calendar
        pass
    raise ValueError("must be a time as YYYY-MM-DD hh:mm:ss in UTC, or in ISO 8601 with its zone")


def read_empty_list(value: Any) -> Any:
    """Read `[]` as `{}`, which PHP writes for both."""
    return {} if value == [] else value


def _read_url(value: Any, info: ValidationInfo) -> str:
    """Take an http or https URL; live takes https only, without userinfo and literal private addresses."""
    if not isinstance(value, str):
        raise ValueError("must be a URL")
    if len(value) > LONGEST_URL:
        raise ValueError(f"must have at most {LONGEST_URL} characters")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be a URL; its host or its port is none") from None
    if parts.scheme not in {"http", "https"} or not host or UNPRINTABLE.search(value):
        raise ValueError("must be a URL that begins with http:// or https://")
    if (info.context or {}).get("is_live"):
        _check_live_url(parts.scheme, parts.username, host)
    return value


def _check_live_url(scheme: str, username: str | None, host: str) -> None:
    if scheme != "https":
        raise ValueError("must begin with https://")
    if username is not None:
        raise ValueError("must not have a user name in it")
    try:
        address = ip_address(host)
    except ValueError:
        return
    if not address.is_global or address.is_multicast:
        raise ValueError("must not be a private address")


def _read_scalar(value: Any) -> str | int | Decimal:
    """Take what shops send for a number or a switch, as it is: it may be a text."""
    if not isinstance(value, str | int | Decimal) or len(str(value)) > LONGEST_SCALAR:
        raise ValueError("must be a text, a number, true or false")
    return value


def _read_metadata(value: Any) -> dict[str, Any] | list[Any]:
    if not isinstance(value, dict | list):
        raise ValueError("must be an object")
    if len(render_json(value)) > LONGEST_METADATA:
        raise ValueError(f"must have at most {LONGEST_METADATA} bytes")
    return value


Scalar = Annotated[
    Any, BeforeValidator(_read_scalar), WithJsonSchema({"type": ["string", "integer", "boolean"], "maxLength": 64})
]
Metadata = Annotated[Any, BeforeValidator(_read_metadata), WithJsonSchema({"type": ["object", "array"]})]

Url = Annotated[str, BeforeValidator(_read_url), Field(json_schema_extra={"format": "uri", "maxLength": LONGEST_URL})]

Moment = Annotated[
    datetime,
    BeforeValidator(read_moment),
    WithJsonSchema({"type": "string", "examples": ["2026-12-31 23:59:59", "2026-12-31T23:59:59+01:00"]}),
]
