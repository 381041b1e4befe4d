"""The search for card numbers in every text of a request that is stored, shown or forwarded.

Other fields of a request are returned in responses and callbacks, shown on pages and stored as sent. A request with a
card number in such a field, its own card's or another's, is rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from tollhouse.http.decode import MAX_FORM_FIELDS, parse_form, parse_object
from tollhouse.http.requests import Request
from tollhouse.kernel.card import MIN_NUMBER_LENGTH, CardDataError, CardNumber
from tollhouse.kernel.card_search import holds_card_number, may_hold_card_number
from tollhouse.kernel.errors import Invalid

MESSAGE = "must not contain a card number"
#: Fields in which a number of up to thirteen digits is a phone number.
PHONE_FIELDS = frozenset({"phone", "phoneNumber"})
#: The fields for the card number of a request.
CARD_FIELDS = frozenset({"number", "paymentSource.number"})

MAX_QUERY_FIELDS = 100

Holds = Callable[[str, str], bool]

_encode = msgspec.json.Encoder(decimal_format="number").encode


def read_screened_object(body: bytes, *, allowed: Collection[str] = ()) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Parse JSON that must be an object, and name fields that must not contain their card number. Raises Invalid.

    `allowed` are the paths at which the body may have a card number.
    """
    content = parse_object(body)
    if not may_hold_card_number(_leave_out(body, content, allowed)):
        return content, {}
    return content, find_card_numbers(content, allowed=allowed)


def _leave_out(body: bytes, content: Any, allowed: Collection[str]) -> bytes:
    """Return a body without the card numbers in allowed fields; most bodies have no other candidate.

    One occurrence is removed for each. If it was another field's, the field's own remains, and all texts are searched.
    """
    for path in allowed:
        value = content
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str):
            body = body.replace(f'"{value}"'.encode(), b'""', 1)
    return body


def read_screened_form(body: bytes) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Parse form fields of a program, and name those with a card number. Raises Invalid."""
    fields = parse_form(body)
    return fields, find_card_numbers(fields)


def read_page_form(body: bytes, *, allowed: Collection[str] = (), max_fields: int = MAX_FORM_FIELDS) -> dict[str, str]:
    """Parse the form of a page. A field with a card number is left out, unless it is `allowed`.

    So it is neither stored nor shown again, and the page asks for it again. A body that is not a form has no fields.
    """
    try:
        fields = parse_form(body, max_fields=max_fields)
    except Invalid:
        return {}
    return {
        name: value
        for name, value in fields.items()
        if not _holds_any(name, "") and (name in allowed or not _holds_any(value, name))
    }


def find_query_faults(query: str) -> dict[str, list[str]]:
    """Return the fields of a query that contain a card number."""
    faults: dict[str, list[str]] = {}
    if query and holds_card_number(query):
        for name, value in _read_fields(query):
            found = find_card_numbers({name: value})
            faults |= {field or "query": texts for field, texts in found.items()}
    return faults


def _read_fields(query: str) -> list[tuple[str, str]]:
    """Return the fields of a query; one with too many fields is a single text."""
    if query.count("&") >= MAX_QUERY_FIELDS:
        return [("query", query)]
    return parse_qsl(query, keep_blank_values=True)


def find_card_numbers(content: Any, *, allowed: Collection[str] = (), path: str = "") -> dict[str, list[str]]:
    """Return the fields of a body that contain a card number, except `allowed` ones.

    For a key with a card number, the field is its object; the body itself has an empty path.
    """
    return {found: [MESSAGE] for found in _find(content, path, _holds_any, frozenset(allowed))}


def find_number(content: Mapping[str, Any], number: CardNumber) -> dict[str, list[str]]:
    """Return the fields that contain this very number, also among more digits. The keys are paths of fields."""
    if not number.may_stand_in(_encode(content)):
        return {}

    def holds(text: str, _: str) -> bool:
        return number.occurs_in(text)

    return {found: [MESSAGE] for found in _find(content, "", holds, frozenset())}


def _holds_any(text: str, name: str) -> bool:
    return holds_card_number(text, is_phone=name in PHONE_FIELDS)


def _find(content: Any, path: str, holds: Holds, allowed: frozenset[str]) -> Iterator[str]:
    """Yield the paths of values with a number. The decoder has limited the depth."""
    if isinstance(content, dict):
        if any(len(name) >= MIN_NUMBER_LENGTH and holds(name, "") for name in content):
            yield path
        children: Iterable[tuple[Any, Any]] = content.items()
    elif isinstance(content, list):
        children = enumerate(content)
    else:
        children = ()
        if _holds_scalar(content, path.rpartition(".")[2], holds):
            yield path
    for name, child in children:
        if isinstance(child, str) and len(child) < MIN_NUMBER_LENGTH:
            continue
        below = f"{path}.{name}" if path else _write_name(str(name))
        if below not in allowed:
            yield from _find(child, below, holds, allowed)


def _holds_scalar(content: Any, name: str, holds: Holds) -> bool:
    if content is None or isinstance(content, bool):
        return False
    text = write_scalar(content)
    return len(text) >= MIN_NUMBER_LENGTH and holds(text, name)


def _write_name(name: str) -> str:
    """Return the name of a field, unless it is digits, which might be a security code."""
    return "***" if len(name) > 2 and name.isdigit() else name


def write_scalar(content: str | float | Decimal) -> str:
    """Return a value as text; only the integer part of a number can be a card number."""
    if isinstance(content, Decimal):
        return format(content, "f").partition(".")[0]
    return str(content)


def find_misplaced_card_numbers(
    request: Request, number: CardNumber | None, parts: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Return faults of fields and of the X-Request-ID that contain the number of the request's card.

    Such an ID is replaced, so that neither response nor log contains it.
    """
    if number is None:
        return {}
    faults = find_number(parts, number)
    if number.occurs_in(request.request_id):
        request.forget_request_id()
        faults["X-Request-ID"] = [MESSAGE]
    return faults


def read_card_number(sent: Any) -> CardNumber | None:
    """Return the card number that was sent, if it is valid."""
    try:
        return CardNumber.parse(str(sent))
    except CardDataError:
        return None
