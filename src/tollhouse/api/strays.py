"""Card numbers where they do not belong.

What a merchant sends beside the card comes back in answers and callbacks, stands on pages, and is kept as it is. A
request that has its card number there too is refused, so that nobody has to find it there later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tollhouse.api.access import Readable
from tollhouse.api.envelope import clear_request_id, forget_request_id, request_id_of
from tollhouse.kernel.card import CardDataError, CardNumber

TEXT = ["must not hold the card number"]
#: Shorter than any card number.
SHORT = 12


def find_strays(request: Readable, number: CardNumber | None, parts: Mapping[str, Any]) -> dict[str, list[str]]:
    """Name the fields of these parts, and the X-Request-ID, in which the number of the request's card stands.

    An id that holds it is forgotten: neither the answer nor the log repeats it. One that does not is cleared of the
    suspicion that long digits raise.
    """
    if number is None:
        return {}
    faults = {path: TEXT for name, content in parts.items() for path in _find(number, content, name)}
    if number.stands_in(request_id_of(request.scope)):
        forget_request_id(request.scope)
        faults["X-Request-ID"] = TEXT
    else:
        clear_request_id(request.scope)
    return faults


def read_card_number(sent: Any) -> CardNumber | None:
    """Return what was sent as a card number, if it is one."""
    try:
        return CardNumber.parse(str(sent))
    except CardDataError:
        return None


def _find(number: CardNumber, content: Any, path: str) -> Iterator[str]:
    """Yield the paths of what holds the number; of a key that does, the path of its object."""
    if isinstance(content, dict):
        if any(len(name) >= SHORT and number.stands_in(name) for name in content):
            yield path
        for name, child in content.items():
            yield from _find(number, child, f"{path}.{name}")
    elif isinstance(content, list):
        for index, child in enumerate(content):
            yield from _find(number, child, f"{path}.{index}")
    elif content is not None and not isinstance(content, bool):
        text = str(content)
        if len(text) >= SHORT and number.stands_in(text):
            yield path
