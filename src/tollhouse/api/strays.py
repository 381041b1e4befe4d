"""The number of a request's own card, where it does not belong.

The screen of `http.screen` finds the card numbers of a body by themselves. A number that is known is searched for as it
is: also among more digits, and where its brand has no check digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tollhouse.http.requests import Request
from tollhouse.http.screen import MESSAGE, find_number
from tollhouse.kernel.card import CardDataError, CardNumber


def find_misplaced_card_numbers(
    request: Request, number: CardNumber | None, parts: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Name the fields of these parts, and the X-Request-ID, in which the number of the request's card stands.

    An id that holds it is forgotten: neither the answer nor the log repeats it.
    """
    if number is None:
        return {}
    faults = {
        path: texts for name, part in parts.items() for path, texts in find_number(part, number, path=name).items()
    }
    if number.occurs_in(request.request_id):
        request.forget_request_id()
        faults["X-Request-ID"] = [MESSAGE]
    return faults


def read_card_number(sent: Any) -> CardNumber | None:
    """Return what was sent as a card number, if it is one."""
    try:
        return CardNumber.parse(str(sent))
    except CardDataError:
        return None
