"""Ids as they come in paths: whatever cannot be one is not found, as an id is that was never issued."""

from __future__ import annotations

from uuid import UUID

from tollhouse.kernel.errors import NotFound
from tollhouse.kernel.ids import parse_id

MAX_NAME_LENGTH = 36
NO_ORDER = "There is no such order."
NO_TRANSACTION = "There is no such transaction."


def read_id(text: str, missing: str) -> int:
    """Read the id of a site or the like: digits. Raises NotFound with the message `missing`."""
    number = parse_id(text)
    if number is None:
        raise NotFound(missing)
    return number


def read_name(text: str, missing: str) -> str:
    """Read the name of a product or the id of a consumer: up to 36 characters. Raises NotFound."""
    if not text.isprintable() or not 1 <= len(text) <= MAX_NAME_LENGTH:
        raise NotFound(missing)
    return text


def read_uuid(text: str, missing: str) -> UUID:
    """Read the id of a payment account, in upper or lower case. Raises NotFound."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(missing) from None
