"""Passwords of people: argon2id, off the event loop, and never more than a few at a time.

A hash takes 19 MiB and some 20 ms on purpose. Sign-ins wait in queues, one for each source, which take turns: whoever
floods one waits in it, and everybody else is served in a moment.
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

#: What OWASP's Password Storage Cheat Sheet asks of argon2id at least: 19 MiB, two passes, one lane.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)

MAX_PASSWORD_LENGTH = 256
AT_A_TIME = 2
#: Checks that wait, of one queue and of all together. 80 people who sign in at once from one address wait a second.
MAX_WAITING_IN_QUEUE = 128
MAX_WAITING = 512


class WrongPassword(TollhouseError):
    """The password does not belong to the hash."""


def hash_password(password: str) -> str:
    """Hash a password for storage, with a salt and the parameters. Takes a while; not for the way of a request."""
    return HASHER.hash(password)


def verify_password(password_hash: str, password: str) -> None:
    """Check a password against its hash, in constant time. Raises WrongPassword."""
    try:
        HASHER.verify(password_hash, password)
    except VerificationError as error:
        raise WrongPassword from error


def invent_hash() -> str:
    """Return a hash of no known password, which takes as long to check as one of `hash_password` and no time to make.

    Written as argon2's reference implementation encodes a hash (RFC 9106 leaves it open): its parameters, a salt, and
    in the place of the tag random bytes.
    """
    salt, tag = [
        b64encode(secrets.token_bytes(length)).decode().rstrip("=") for length in (HASHER.salt_len, HASHER.hash_len)
    ]
    return f"$argon2id$v=19$m={HASHER.memory_cost},t={HASHER.time_cost},p={HASHER.parallelism}${salt}${tag}"


class PasswordGate:
    """Checks the passwords of requests, a few at a time, and of each queue one after the other."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_A_TIME)
        self._queues: dict[str, asyncio.Lock] = {}
        self._waiting: Counter[str] = Counter()
        self._nobodys = invent_hash()

    async def verify(self, password_hash: str | None, password: str, *, queue: str = "") -> None:
        """Check a password, as long for nobody's hash as for somebody's. Raises WrongPassword and QueueFull.

        The first of each queue waits for a slot, so that queues take turns whatever their lengths.
        """
        if self._waiting[queue] >= MAX_WAITING_IN_QUEUE or self._waiting.total() >= MAX_WAITING:
            raise QueueFull("Too many sign-in requests. Try again in a few seconds.")
        self._waiting[queue] += 1
        try:
            async with self._queues.setdefault(queue, asyncio.Lock()), self._slots:
                given = password[:MAX_PASSWORD_LENGTH]
                await asyncio.to_thread(verify_password, password_hash or self._nobodys, given)
        finally:
            self._leave(queue)
        if password_hash is None or len(password) > MAX_PASSWORD_LENGTH:
            raise WrongPassword

    def _leave(self, queue: str) -> None:
        self._waiting[queue] -= 1
        if not self._waiting[queue]:
            del self._waiting[queue]
            del self._queues[queue]
