"""IDs in paths. An invalid one is not found, like an ID that was never issued."""

from __future__ import annotations

from uuid import UUID

from tollhouse.kernel.errors import NotFound
from tollhouse.kernel.ids import parse_id

MAX_NAME_LENGTH = 36
NO_ORDER = "Order not found."
NO_TRANSACTION = "Transaction not found."


def read_id(text: str, missing: str) -> int:
    """Read a numeric ID. Raises NotFound with the message `missing`."""
    number = parse_id(text)
    if number is None:
        raise NotFound(missing)
    return number


def read_name(text: str, missing: str) -> str:
    """Read the name of a SKU or the ID of a consumer: up to 36 characters. Raises NotFound."""
    if not text.isprintable() or not 1 <= len(text) <= MAX_NAME_LENGTH:
        raise NotFound(missing)
    return text


def read_uuid(text: str, missing: str) -> UUID:
    """Read the ID of a stored card, in upper or lower case. Raises NotFound."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(missing) from None
