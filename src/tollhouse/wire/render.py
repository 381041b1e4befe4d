"""Render responses to bytes, and moments to the forms of the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from pydantic import BaseModel

from tollhouse.wire.answers import Moment, Timestamp


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
