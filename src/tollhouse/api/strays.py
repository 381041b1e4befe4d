"""Card numbers where they do not belong.

What a merchant sends beside the card comes back in answers and callbacks, stands on pages, and is kept as it is. A
request that has its card number there too is refused, so that nobody has to find it there later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tollhouse.api.access import Readable
from tollhouse.api.envelope import forget_request_id, request_id_of
from tollhouse.kernel.card import CardDataError, CardNumber

TEXT = ["must not hold the card number"]
#: Shorter than any card number.
SHORT = 12


def find_strays(request: Readable, number: Any, parts: Mapping[str, Any]) -> dict[str, list[str]]:
    """Name the fields of these parts, and the X-Request-ID, in which the card number stands that was sent as `number`.

    An id that holds it is forgotten: neither the answer nor the log repeats it.
    """
    known = _parse(number)
    if known is None:
        return {}
    faults = {path: TEXT for name, content in parts.items() for path in _find(known, content, name)}
    if known.stands_in(request_id_of(request.scope)):
        forget_request_id(request.scope)
        faults["X-Request-ID"] = TEXT
    return faults


def _parse(number: Any) -> CardNumber | None:
    try:
        return CardNumber.parse(str(number))
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
