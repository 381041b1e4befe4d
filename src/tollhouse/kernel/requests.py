"""Idempotency keys, and the responses stored under them."""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest

from msgspec import Struct

from tollhouse.kernel.errors import RequestIdReused


@dataclass(frozen=True, slots=True)
class Claim:
    """An X-Request-ID that a client sent, with a keyed digest of the body. Its scope is merchant and operation."""

    merchant_id: int
    operation: str
    request_id: str
    digest: bytes

    def check(self, digest: bytes) -> None:
        """Raise RequestIdReused unless the first request with this ID had the same body."""
        if not compare_digest(digest, self.digest):
            raise RequestIdReused


class Reply(Struct, frozen=True):
    """A response to the client: its status and exact bytes. `is_replay` marks a stored response."""

    status: int
    body: bytes
    is_replay: bool = False
