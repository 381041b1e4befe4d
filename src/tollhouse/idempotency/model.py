"""Idempotency keys and their stored claims."""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest

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


@dataclass(frozen=True, slots=True)
class StoredClaim:
    """The claim of a key by the first request.

    It leads to a payment, to an operation on an earlier transaction, or to neither. `status` and `answer` are None
    until a response is recorded.
    """

    merchant_id: int
    digest: bytes
    status: int | None
    answer: bytes | None
    payment_id: int | None
    transaction_id: int | None
