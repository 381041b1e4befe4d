"""The screen for card numbers: every text of a request that is kept, shown or sent on passes here.

What a merchant sends beside the card comes back in responses and callbacks, stands on pages and is kept as it is. A
request with a card number there, its own card's or another's, is rejected, so that nobody has to find it there later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from decimal import Decimal
from typing import Any

from tollhouse.kernel.card import SHORTEST_NUMBER, CardNumber
from tollhouse.kernel.card_search import holds_card_number

MESSAGE = "must not hold a card number"
#: Fields for phones, in which a number of up to thirteen digits is a phone.
PHONE_FIELDS = frozenset({"phone", "phoneNumber"})
#: The fields in which a request has its card number.
CARD_FIELDS = frozenset({"number", "paymentSource.number"})

Holds = Callable[[str, str], bool]


def find_card_numbers(content: Any, *, allowed: Collection[str] = (), path: str = "") -> dict[str, list[str]]:
    """Return the fields of a body in which a card number stands, but for those that are `allowed` to have one.

    For a key that holds one the field is its object; the body itself has an empty path.
    """
    return {found: [MESSAGE] for found in _find(content, path, _holds_any, frozenset(allowed))}


def find_number(content: Any, number: CardNumber, *, path: str = "") -> dict[str, list[str]]:
    """Return the fields in which this very number stands, also among more digits."""

    def holds(text: str, _: str) -> bool:
        return number.stands_in(text)

    return {found: [MESSAGE] for found in _find(content, path, holds, frozenset())}


def _holds_any(text: str, name: str) -> bool:
    return holds_card_number(text, is_phone=name in PHONE_FIELDS)


def _find(content: Any, path: str, holds: Holds, allowed: frozenset[str]) -> Iterator[str]:
    """Yield the paths of what holds a number. The decoder has bounded the depth."""
    if isinstance(content, dict):
        if any(len(name) >= SHORTEST_NUMBER and holds(name, "") for name in content):
            yield path
        children: Iterable[tuple[Any, Any]] = content.items()
    elif isinstance(content, list):
        children = enumerate(content)
    else:
        children = ()
        if _holds_scalar(content, path.rpartition(".")[2], holds):
            yield path
    for name, child in children:
        if isinstance(child, str) and len(child) < SHORTEST_NUMBER:
            continue
        below = f"{path}.{name}" if path else _write_name(str(name))
        if below not in allowed:
            yield from _find(child, below, holds, allowed)


def _holds_scalar(content: Any, name: str, holds: Holds) -> bool:
    if content is None or isinstance(content, bool):
        return False
    text = write_scalar(content)
    return len(text) >= SHORTEST_NUMBER and holds(text, name)


def _write_name(name: str) -> str:
    """Return the name of a field of the body, unless it is digits: no field is, but a security code might be."""
    return "***" if len(name) > 2 and name.isdigit() else name


def write_scalar(content: str | float | Decimal) -> str:
    """Write a value as text; of a number with decimals only the whole part can be a card number."""
    if isinstance(content, Decimal):
        return format(content, "f").partition(".")[0]
    return str(content)
