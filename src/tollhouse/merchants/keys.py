"""Find merchants by the digests of their API keys, so that unknown keys cost the database next to nothing.

Look-ups go out in batches. Known and unknown keys are remembered apart, so that no number of unknown keys makes the
process forget a known one. For callers who have sent too many unknown keys, an index of all keys answers instead.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tollhouse.merchants.model import Merchant
from tollhouse.merchants.store import queries
from tollhouse.storage.coalesce import Coalescer

if TYPE_CHECKING:
    from tollhouse.kernel.clock import DatabaseClock
    from tollhouse.storage.database import Database, PlainConnection

#: How long a key is remembered after it was read, known or not: what is revoked or made is noticed that soon.
REMEMBER_SECONDS = 5.0
#: Known and unknown keys that are remembered, each.
MAX_REMEMBERED = 10_000
#: Keys that wait for a look-up, and that one look-up answers.
MAX_WAITING = 1_000

#: Of each digest, as much as the index holds: two of a million keys are alike there once in a hundred thousand times.
PREFIX_BYTES = 8
MAX_INDEXED = 200_000
#: The index is read again when this has passed, and twenty times what the last reading took.
INDEX_INTERVAL_SECONDS = 1.0
INDEX_SHARE = 20


class ApiKeys:
    """The API keys of all merchants."""

    def __init__(self, database: Database, clock: DatabaseClock, *, max_indexed: int = MAX_INDEXED) -> None:
        self._clock = clock
        self._known: dict[bytes, tuple[Merchant, float]] = {}
        self._unknown: dict[bytes, float] = {}
        self._index = KeyIndex(database, max_keys=max_indexed)
        # Known keys have a lane of their own, which unknown ones cannot fill.
        self._renewals = self._open_lane("known API keys", database)
        self._first_reads = self._open_lane("API keys", database)

    async def find(self, digest: bytes, *, is_suspect: bool = False) -> Merchant | None:
        """Return the merchant whose key has this digest, as it is or was a few seconds ago, or None.

        For a suspect caller the index is asked first. Raises QueueFull and DatabaseUnavailable.
        """
        now = time.monotonic()
        known = self._known.get(digest)
        if known is not None:
            return known[0] if known[1] > now else self._remember(digest, await self._renewals.submit(digest))
        if self._unknown.get(digest, 0.0) > now or (is_suspect and not await self._index.may_hold(digest)):
            return None
        return self._remember(digest, await self._first_reads.submit(digest))

    def _remember(self, digest: bytes, merchant: Merchant | None) -> Merchant | None:
        until = time.monotonic() + REMEMBER_SECONDS
        if merchant is None:
            self._known.pop(digest, None)
            _make_room(self._unknown)
            self._unknown[digest] = until
        else:
            _make_room(self._known)
            self._known[digest] = (merchant, until)
        return merchant

    def _open_lane(self, name: str, database: Database) -> Coalescer[bytes, Merchant | None]:
        return Coalescer(
            name, self._read, database, patience_seconds=0.0, queue_limit=MAX_WAITING, batch_limit=MAX_WAITING
        )

    async def _read(self, connection: PlainConnection, digests: Sequence[bytes]) -> Sequence[Merchant | None]:
        found: dict[bytes, Merchant] = {}
        async for row in queries.select_merchants_by_keys(connection, digests=list(digests)):
            self._clock.observe_offset(row["merchant_id"], row["clock_offset"])
            found[row["digest"]] = Merchant(
                merchant_id=row["merchant_id"],
                name=row["name"],
                is_active=row["is_active"],
                clock_offset=row["clock_offset"],
                allowed_networks=tuple(row["allowed_networks"]),
                key_expires_at=row["expires_at"],
            )
        return [found.get(digest) for digest in digests]


class KeyIndex:
    """The beginnings of all digests, read again now and then: tells which keys cannot exist."""

    def __init__(self, database: Database, *, max_keys: int) -> None:
        self._database = database
        self._max_keys = max_keys
        self._prefixes: frozenset[bytes] = frozenset()
        self._is_whole = False
        self._read_again_at = 0.0

    async def may_hold(self, digest: bytes) -> bool:
        """Tell whether a key may exist. False is certain, except for keys made a moment ago."""
        prefix = digest[:PREFIX_BYTES]
        if prefix not in self._prefixes and time.monotonic() >= self._read_again_at:
            await self._read()
        return prefix in self._prefixes or not self._is_whole

    async def _read(self) -> None:
        begun = time.monotonic()
        # Set at once: callers who come meanwhile are answered by what was read before.
        self._read_again_at = begun + INDEX_INTERVAL_SECONDS
        async with self._database.acquire() as connection:
            read = await queries.select_key_prefixes(connection, bytes=PREFIX_BYTES, most=self._max_keys + 1) or b""
        self._prefixes = frozenset(read[at : at + PREFIX_BYTES] for at in range(0, len(read), PREFIX_BYTES))
        self._is_whole = len(self._prefixes) <= self._max_keys
        took = time.monotonic() - begun
        self._read_again_at = begun + max(INDEX_INTERVAL_SECONDS, INDEX_SHARE * took)


def _make_room(remembered: dict[bytes, Any]) -> None:
    """Forget everything at the bound: no bookkeeping on the way of a payment."""
    if len(remembered) >= MAX_REMEMBERED:
        remembered.clear()
