"""The response to a request, independent of HTTP."""

from __future__ import annotations

from msgspec import Struct

CREATED = 201


class RenderedResponse(Struct, frozen=True):
    """A response to the client: its status and exact bytes. `is_replay` marks a stored response."""

    status: int
    body: bytes
    is_replay: bool = False
