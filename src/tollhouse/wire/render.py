"""Render responses to bytes, moments to the forms of the API, and JSON and short texts to safe HTML for people."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

import msgspec
from pydantic import BaseModel

from tollhouse.wire.answers import Moment, Timestamp

#: A name with its colon, a text, a number, or a JSON literal.
_PIECE = re.compile(
    r'(?P<name>"(?:[^"\\]|\\.)*"(?=\s*:))|(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?\d[\d.eE+-]*)|(?P<word>true|false|null)'
)
_CODE = re.compile(r"`([^`]+)`")


def leave_out_none(**fields: Any) -> dict[str, Any]:
    """Return the fields of a response that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def _list_fields(part: Any) -> Any:
    """Return the fields of a response, or of a part of one, that are not None; or its only content."""
    is_root = getattr(type(part), "__pydantic_root_model__", None)
    if is_root is None:
        raise NotImplementedError(type(part).__name__)
    return part.root if is_root else leave_out_none(**vars(part))


_encode = msgspec.json.Encoder(enc_hook=_list_fields, decimal_format="number").encode


def render(answer: BaseModel) -> bytes:
    """Render a response as JSON: without fields that are None, decimals as numbers with their exact digits."""
    return _encode(answer)


def render_json(content: Any) -> bytes:
    """Render plain data as JSON, decimals as numbers."""
    return _encode(content)


def render_date(moment: datetime) -> str:
    """Render a moment in UTC as `YYYY-MM-DD hh:mm:ss`."""
    return str(moment)[:19]  # strftime does not pad the years of the first millennium


def render_instant(moment: datetime) -> str:
    """Render a moment in UTC as ISO 8601, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def render_duration(span: timedelta) -> str:
    """Render a duration, not negative, as ISO 8601, in days and smaller units, to the nearest second."""
    span = timedelta(seconds=round(span.total_seconds()))
    minutes, seconds = divmod(span.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days = f"{span.days}D" if span.days else ""
    rest = "".join(f"{count}{unit}" for count, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if count)
    return f"P{days}T{rest}" if rest else f"P{days}" if days else "PT0S"


def build_moment(moment: datetime) -> Moment:
    """Return a moment in the three forms of a `payment` object."""
    return Moment(dateTime=render_date(moment), timezone="+00:00", unixTime=int(moment.timestamp()))


def build_timestamp(moment: datetime) -> Timestamp:
    """Return a moment in the three forms of the API."""
    return Timestamp(dateTime=render_date(moment), timezone="+00:00", unixTime=str(int(moment.timestamp())))


def set_out(content: bytes) -> str:
    """Indent JSON by two spaces, keeping its numbers and texts.

    Return a text that is not JSON unchanged.
    """
    try:
        return msgspec.json.format(content, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return content.decode("utf-8", "replace")


def html_of_json(text: str) -> str:
    """Return JSON as escaped HTML, with its parts in elements of the classes `name`, `text`, `number` and `word`."""
    parts: list[str] = []
    end = 0
    for found in _PIECE.finditer(text):
        parts += [escape(text[end : found.start()]), f'<span class="{found.lastgroup}">{escape(found[0])}</span>']
        end = found.end()
    return "".join([*parts, escape(text[end:])])


def html_of_prose(text: str) -> str:
    """Return a sentence as escaped HTML, with backquoted parts as code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))
