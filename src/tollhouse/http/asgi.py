"""The types of ASGI (specification 3.0), and headers that all responses of a kind have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

NO_SNIFF = (b"x-content-type-options", b"nosniff")
NO_STORE = (b"cache-control", b"no-store")
#: Two years, as browsers ask for it; only if the operator has declared that the gateway is reached by TLS.
STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=63072000")


def has_no_body(status: int) -> bool:
    """Return whether responses of this status never have a body (RFC 9110, 6.4.1)."""
    return status < 200 or status in {204, 304}
