"""A request that may come twice, and the answer that it gets each time."""

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
        """Raise RequestIdReused unless the request that took this id had the same body."""
        if not compare_digest(digest, self.digest):
            raise RequestIdReused


class Reply(Struct, frozen=True):
    """What the client gets: a status and the very bytes. `is_replay` marks a recorded answer."""

    status: int
    body: bytes
    is_replay: bool = False
