"""Random identifiers. Sequential ones come from `storage.ids`."""

from __future__ import annotations

import itertools
import secrets

#: Crockford's alphabet in lower case: no i, l, o, u.
_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"
#: Ten bits, the last five first.
_PAIRS = [second + first for first in _BASE32 for second in _BASE32]
CONSUMER_ID_BYTES = 15
#: The largest sequential ID: they have 64 bits.
MAX_ID = 2**63 - 1

_PROCESS_PREFIX = secrets.token_hex(8)
_request_numbers = itertools.count(1)


def new_consumer_id() -> str:
    """Draw a gateway consumer ID: `c` and 24 random base-32 characters. It cannot collide with a merchant's own IDs."""
    return write_consumer_id(secrets.token_bytes(CONSUMER_ID_BYTES))


def write_consumer_id(number: bytes) -> str:
    """Write 15 bytes as a consumer ID: base 32, the last five bits first."""
    bits = int.from_bytes(number)
    return "c" + "".join([_PAIRS[bits >> shift & 1023] for shift in range(0, 8 * CONSUMER_ID_BYTES, 10)])


def is_consumer_id(text: str) -> bool:
    """Return whether a text has the form of a gateway consumer ID."""
    return len(text) == 25 and text[0] == "c" and all(character in _BASE32 for character in text[1:])


def new_request_id() -> str:
    """Return an ID for a request without X-Request-ID.

    It is unique but not secret, so it counts from a random start.
    """
    return f"{_PROCESS_PREFIX}-{next(_request_numbers):08x}"


def parse_id(text: str) -> int | None:
    """Parse a sequential ID; return None for a text that is none."""
    is_id = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_ID))
    return int(text) if is_id and int(text) <= MAX_ID else None


def format_event_id(event_id: int) -> str:
    """Return the public form of an event's ID, which its callbacks have in `webhook-id`."""
    return f"evt_{event_id}"
