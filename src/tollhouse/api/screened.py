"""Queries without card numbers: proxies log them, browsers keep them, and pages show them again.

A path needs no screen: one with a card number in it leads nowhere, and is neither logged nor shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from tollhouse.api.problems import answer_refusal
from tollhouse.api.straight import Call, send_problem
from tollhouse.http.screen import find_card_numbers
from tollhouse.kernel.card_search import holds_card_number
from tollhouse.kernel.errors import Invalid

if TYPE_CHECKING:
    from tollhouse.api.asgi import Application, Receive, Scope, Send

MAX_QUERY_FIELDS = 100


class Screened:
    """Wraps an application: refuses a request with a card number in its query."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        faults = find_query_faults(scope) if scope["type"] == "http" else {}
        if not faults:
            await self._app(scope, receive, send)
            return
        call: Any = Call(scope, receive)
        await send_problem(send, answer_refusal(call, Invalid(faults)))


def find_query_faults(scope: Scope) -> dict[str, list[str]]:
    """Name the fields of a query in which a card number stands."""
    faults: dict[str, list[str]] = {}
    query = scope["query_string"].decode("latin-1")
    if query and holds_card_number(query):
        for name, value in _read_fields(query):
            found = find_card_numbers({name: value})
            faults |= {field or "query": texts for field, texts in found.items()}
    return faults


def _read_fields(query: str) -> list[tuple[str, str]]:
    """Return the fields of a query; one with too many is a text as a whole."""
    if query.count("&") >= MAX_QUERY_FIELDS:
        return [("query", query)]
    return parse_qsl(query, keep_blank_values=True)
