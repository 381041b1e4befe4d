"""Password hashing for portal users: argon2id, outside the event loop, a few at a time.

A hash takes 19 MiB and some 20 ms by design. Sign-ins wait in queues, one for each source, which take turns. A source
that floods its queue delays only itself.
"""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from collections import Counter

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from argon2.low_level import Type

from tollhouse.kernel.errors import QueueFull, TollhouseError

#: The minimum of OWASP's Password Storage Cheat Sheet for argon2id: 19 MiB, two passes, one lane.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)

MAX_PASSWORD_LENGTH = 256
AT_A_TIME = 2
#: Checks that may wait in one queue, and in all. 80 people who sign in at once from one address wait a second.
MAX_WAITING_IN_QUEUE = 128
MAX_WAITING = 512


class WrongPassword(TollhouseError):
    """The password does not belong to the hash."""


def hash_password(password: str) -> str:
    """Hash a password for storage, with salt and parameters. This is slow: do not call it in a request."""
    return HASHER.hash(password)


def verify_password(password_hash: str, password: str) -> None:
    """Check a password against its hash, in constant time. Raises WrongPassword."""
    try:
        HASHER.verify(password_hash, password)
    except VerificationError as error:
        raise WrongPassword from error


def build_decoy_hash() -> str:
    """Return a hash of no known password, which takes as long to check as one of `hash_password` but is made at once.

    The format is that of argon2's reference implementation (RFC 9106 leaves it open): parameters, a salt, and random
    bytes as the tag.
    """
    salt, tag = [
        b64encode(secrets.token_bytes(length)).decode().rstrip("=") for length in (HASHER.salt_len, HASHER.hash_len)
    ]
    return f"$argon2id$v=19$m={HASHER.memory_cost},t={HASHER.time_cost},p={HASHER.parallelism}${salt}${tag}"


class PasswordVerifier:
    """A verifier of passwords that limits concurrent checks, and serves each queue one check at a time."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_A_TIME)
        self._queues: dict[str, asyncio.Lock] = {}
        self._waiting: Counter[str] = Counter()
        self._decoy_hash = build_decoy_hash()

    async def verify(self, password_hash: str | None, password: str, *, queue: str = "") -> None:
        """Check a password, in the same time for an unknown user as for a known one.

        Raises WrongPassword and QueueFull.

        The first check of each queue waits for a slot, so that queues of any length take turns.
        """
        if self._waiting[queue] >= MAX_WAITING_IN_QUEUE or self._waiting.total() >= MAX_WAITING:
            raise QueueFull("Too many sign-in requests. Try again in a few seconds.")
        self._waiting[queue] += 1
        try:
            async with self._queues.setdefault(queue, asyncio.Lock()), self._slots:
                given = password[:MAX_PASSWORD_LENGTH]
                await asyncio.to_thread(verify_password, password_hash or self._decoy_hash, given)
        finally:
            self._leave_queue(queue)
        if password_hash is None or len(password) > MAX_PASSWORD_LENGTH:
            raise WrongPassword

    def _leave_queue(self, queue: str) -> None:
        self._waiting[queue] -= 1
        if not self._waiting[queue]:
            del self._waiting[queue]
            del self._queues[queue]
