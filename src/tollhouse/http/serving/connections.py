"""The open connections of one port: their maximum number, and which one ends to admit another.

If an address has all its connections open, the one that has waited longest without a complete request is closed. So
idle connections never block the port, not even for others behind the same address.
"""

from __future__ import annotations

import itertools
import resource
from collections.abc import Sequence
from typing import Protocol

from tollhouse.kernel.addresses import Network, group_address, is_within

#: Maximum number of connections searched, oldest first, for one that may end.
MAX_SCANNED = 1_024
#: The limit of open files that a process requests; most are connections.
MAX_FILES = 65_536
MAX_CONNECTIONS = 16_384


def choose_max_connections() -> int:
    """Raise the limit of open files as far as allowed, and return the number of connections, half of it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return min(limit // 2, MAX_CONNECTIONS)


class Connection(Protocol):
    """A connection, as its port counts it."""

    @property
    def is_waiting(self) -> bool:
        """Whether no complete request is in progress: such a connection may end at any time (RFC 9112, 9.5)."""

    def evict(self) -> None:
        """End the connection to admit another."""


class Connections:
    """The open connections, oldest first."""

    def __init__(self, *, max_total: int, max_per_address: int, exempt: Sequence[Network] = ()) -> None:
        self._max_total = max_total
        self._max_per_address = max_per_address
        self._exempt = tuple(exempt)
        self._all: dict[Connection, str] = {}
        self._by_address: dict[str, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def list(self) -> list[Connection]:
        """Return all connections."""
        return list(self._all)

    def admit(self, connection: Connection, address: str) -> bool:
        """Add a connection, if necessary in place of a waiting one. Return whether it was admitted."""
        key = group_address(address)
        same = self._by_address.get(key, {})
        is_limited = 0 < self._max_per_address <= len(same) and not self._is_exempt(address)
        if is_limited and not _evict_one(same):
            return False
        if len(self._all) >= self._max_total and not _evict_one(self._all):
            return False
        self._all[connection] = key
        self._by_address.setdefault(key, {})[connection] = None
        return True

    def discard(self, connection: Connection) -> None:
        """Remove a connection that ended, or that was never admitted."""
        key = self._all.pop(connection, None)
        if key is None:
            return
        same = self._by_address[key]
        del same[connection]
        if not same:
            del self._by_address[key]

    def _is_exempt(self, address: str) -> bool:
        return bool(self._exempt) and is_within(address, self._exempt)


def _evict_one(connections: dict[Connection, str] | dict[Connection, None]) -> bool:
    """End the oldest waiting connection. Returns whether one was found."""
    oldest = next((each for each in itertools.islice(connections, MAX_SCANNED) if each.is_waiting), None)
    if oldest is None:
        return False
    oldest.evict()
    return True
