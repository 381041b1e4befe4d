"""Find merchants by digests of API keys, at almost no cost to the database for unknown keys.

Lookups are batched. Known and unknown keys are cached separately, so that unknown keys cannot evict known ones. For
callers that have sent too many unknown keys, an index of all keys is checked first.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from tollhouse.kernel.clock import DatabaseClock
from tollhouse.merchants.model import Merchant
from tollhouse.merchants.store import queries
from tollhouse.storage.coalesce import Coalescer
from tollhouse.storage.database import Database, PlainConnection

#: Lifetime of a cached key, known or not. Revoked and new keys are noticed within this time.
CACHE_TIMEOUT_SECONDS = 5.0
#: Bound of each cache: known and unknown keys.
MAX_REMEMBERED = 10_000
#: Keys that may wait for a lookup, and keys in one lookup.
MAX_WAITING = 1_000

#: Bytes of each digest in the index. Among a million keys, two share them once in a hundred thousand cases.
PREFIX_BYTES = 8
MAX_INDEXED = 200_000
#: The index is reloaded after this time, or after twenty times the duration of the last load if that is longer.
INDEX_INTERVAL_SECONDS = 1.0
INDEX_SHARE = 20


class ApiKeys:
    """The API keys of all merchants."""

    def __init__(self, database: Database, clock: DatabaseClock, *, max_indexed: int = MAX_INDEXED) -> None:
        self._clock = clock
        self._known: dict[bytes, tuple[Merchant, float]] = {}
        self._unknown: dict[bytes, float] = {}
        self._index = KeyIndex(database, max_keys=max_indexed)
        # Known keys have their own queue, which unknown keys cannot fill.
        self._renewals = self._create_queue("known API keys", database)
        self._first_reads = self._create_queue("API keys", database)

    async def find(self, digest: bytes, *, is_suspect: bool = False) -> Merchant | None:
        """Return the merchant whose key has this digest, at most a few seconds old, or None.

        For a suspect caller the index is checked first. Raises QueueFull and DatabaseUnavailable.
        """
        now = time.monotonic()
        known = self._known.get(digest)
        if known is not None:
            return known[0] if known[1] > now else self._remember(digest, await self._renewals.submit(digest))
        if self._unknown.get(digest, 0.0) > now or (is_suspect and not await self._index.may_hold(digest)):
            return None
        return self._remember(digest, await self._first_reads.submit(digest))

    def _remember(self, digest: bytes, merchant: Merchant | None) -> Merchant | None:
        until = time.monotonic() + CACHE_TIMEOUT_SECONDS
        if merchant is None:
            self._known.pop(digest, None)
            _make_room(self._unknown)
            self._unknown[digest] = until
        else:
            _make_room(self._known)
            self._known[digest] = (merchant, until)
        return merchant

    def _create_queue(self, name: str, database: Database) -> Coalescer[bytes, Merchant | None]:
        return Coalescer(
            name, self._read, database, timeout_seconds=0.0, queue_limit=MAX_WAITING, batch_limit=MAX_WAITING
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
    """An index of the first bytes of all digests, reloaded periodically, to rule out keys that do not exist."""

    def __init__(self, database: Database, *, max_keys: int) -> None:
        self._database = database
        self._max_keys = max_keys
        self._prefixes: frozenset[bytes] = frozenset()
        self._is_whole = False
        self._read_again_at = 0.0

    async def may_hold(self, digest: bytes) -> bool:
        """Return whether a key may exist. False is certain, except for keys created a moment ago."""
        prefix = digest[:PREFIX_BYTES]
        if prefix not in self._prefixes and time.monotonic() >= self._read_again_at:
            await self._read()
        return prefix in self._prefixes or not self._is_whole

    async def _read(self) -> None:
        begun = time.monotonic()
        # Set before loading, so that concurrent callers use the previous index.
        self._read_again_at = begun + INDEX_INTERVAL_SECONDS
        async with self._database.acquire() as connection:
            read = await queries.select_key_prefixes(connection, bytes=PREFIX_BYTES, most=self._max_keys + 1) or b""
        self._prefixes = frozenset(read[at : at + PREFIX_BYTES] for at in range(0, len(read), PREFIX_BYTES))
        self._is_whole = len(self._prefixes) <= self._max_keys
        took = time.monotonic() - begun
        self._read_again_at = begun + max(INDEX_INTERVAL_SECONDS, INDEX_SHARE * took)


def _make_room(remembered: dict[bytes, Any]) -> None:
    """Clear a full cache: this bounds it without bookkeeping for each payment."""
    if len(remembered) >= MAX_REMEMBERED:
        remembered.clear()
