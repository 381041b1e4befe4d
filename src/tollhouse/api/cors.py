"""Letting pages of merchants call the two tokenize paths from a browser.

The preflight is answered here, from memory. Errors carry the headers too, or the page could not read them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tollhouse.catalog.names import is_public_suffix
from tollhouse.catalog.store import select_cors_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from tollhouse.api.asgi import Application, Message, Receive, Scope, Send
    from tollhouse.storage.database import Database

#: The paths that browsers of other origins may call.
OPEN_PATHS = frozenset({"/tokenize", "/tokenizeWithPaymentAccountId"})
MAX_AGE_SECONDS = 7_200
#: An https origin as browsers write it (RFC 6454, 6.2), and the same with the port that it leaves out.
ORIGIN_FORM = re.compile(r"https://((?:[a-z0-9_-]+\.)*[a-z0-9_-]+)(?::443)?", re.IGNORECASE | re.ASCII)
ALLOWED_HEADERS = "content-type, x-requested-with, x-request-id"
EXPOSED_HEADERS = "x-request-id, retry-after, idempotent-replay"


class Cors:
    """Wraps an application. `is_allowed` tells whether pages of an origin may call."""

    def __init__(self, app: Application, is_allowed: Callable[[str], bool]) -> None:
        self._app = app
        self._is_allowed = is_allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"].rstrip("/") not in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        origin = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"), None)
        headers = self._headers_for(origin)
        if scope["method"] == "OPTIONS":
            await _answer_preflight(headers, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _headers_for(self, origin: str | None) -> list[tuple[bytes, bytes]]:
        headers = [(b"vary", b"Origin")]
        if origin is not None and self._is_allowed(origin):
            headers.append((b"access-control-allow-origin", origin.encode("latin-1")))
            headers.append((b"access-control-expose-headers", EXPOSED_HEADERS.encode()))
        return headers


async def _answer_preflight(headers: list[tuple[bytes, bytes]], send: Send) -> None:
    preflight = [
        (b"access-control-allow-methods", b"POST"),
        (b"access-control-allow-headers", ALLOWED_HEADERS.encode()),
        (b"access-control-max-age", str(MAX_AGE_SECONDS).encode()),
    ]
    is_allowed = any(name == b"access-control-allow-origin" for name, _ in headers)
    answer = [*headers, *(preflight if is_allowed else ())]
    await send({"type": "http.response.start", "status": 204, "headers": answer})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def is_below(origin: str, names: frozenset[str]) -> bool:
    """Tell whether an origin is https and one of these host names, or below one of them."""
    form = ORIGIN_FORM.fullmatch(origin)
    if form is None:
        return False
    labels = form[1].lower().split(".")
    return any(".".join(labels[index:]) in names for index in range(len(labels)))


class AllowedOrigins:
    """The host names of the sites whose pages may call, in memory: a preflight touches no database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._names: frozenset[str] = frozenset()

    async def refresh(self) -> None:
        """Read the names anew."""
        async with self._database.acquire() as connection:
            names = await select_cors_names(connection)
        # A site may bear a name from before such names were refused, or from before the list knew it.
        self._names = frozenset(name for name in names if not is_public_suffix(name))

    def is_allowed(self, origin: str) -> bool:
        """Tell whether pages of this origin may call."""
        return is_below(origin, self._names)
