"""Calling an ASGI application, or one handler of it, without a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from tollhouse.http.requests import Request


async def call(app: Any, method: str, path: str, **request: Any) -> httpx.Response:
    """Send one request to an application in this process."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.example") as client:
        return await client.request(method, f"http://gateway.example{path}", **request)


def build_request(
    method: str = "GET",
    path: str = "/",
    *,
    headers: Mapping[str, str] | None = None,
    query: str = "",
    body: bytes = b"",
    peer: str = "127.0.0.1",
    pieces: list[bytes] | None = None,
) -> Request:
    """Build a request whose body comes in these pieces. After the last one the client is gone."""
    left = [body] if pieces is None else list(pieces)
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
        "client": (peer, 50_000) if peer else None,
    }

    async def receive() -> dict[str, Any]:
        if not left:
            return {"type": "http.disconnect"}
        piece = left.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(left) or pieces is not None}

    return Request(scope, receive)
