"""Resolve host names for callbacks: checked, cached for a short time, and limited by merchant.

The system's resolver blocks a thread until the name server responds. So each merchant has a few lookups at a time, and
an abandoned lookup keeps its slot until its thread is free.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from tollhouse.kernel.urls import AddressPolicy, AddressRefused, check_addresses

#: Concurrent lookups, in all and of one merchant.
MAX_THREADS = 64
MAX_LOOKUPS_OF_MERCHANT = 4

#: Life and number of cached results.
CACHE_TIMEOUT_SECONDS = 5.0
MAX_NAMES = 4_096

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
Lookup = Callable[[str, int, int], Sequence[AddressInfo]]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class ResolvedName:
    """The addresses of a name or the error, valid until a time of the monotonic clock."""

    until: float
    addresses: Sequence[AddressInfo] = ()
    error: OSError | None = None

    def unwrap(self) -> Sequence[AddressInfo]:
        """Return the addresses. Raises OSError if there are none, AddressRefused if the policy forbids one."""
        if self.error is not None:
            raise type(self.error)(*self.error.args)
        return self.addresses


class NameResolver:
    """Resolves names under an address policy."""

    def __init__(self, policy: AddressPolicy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="ipn-names")
        self._slots: SlotLimiter[int] = SlotLimiter(MAX_LOOKUPS_OF_MERCHANT)
        self._found: OrderedDict[str, ResolvedName] = OrderedDict()

    async def find(self, host: str, *, merchant_id: int) -> Sequence[AddressInfo]:
        """Return the checked addresses of a host.

        Raises OSError if there are none, AddressRefused if the policy forbids one.
        """
        known = self._found.get(host)
        if known is None or known.until <= time.monotonic():
            known = await self._resolve(host, merchant_id)
            self._remember(host, known)
        return known.unwrap()

    def close(self) -> None:
        """Release the threads without waiting for lookups."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _resolve(self, host: str, merchant_id: int) -> ResolvedName:
        await self._slots.acquire(merchant_id)
        loop = asyncio.get_running_loop()
        resolving = self._threads.submit(self._lookup, host, 0, socket.AF_UNSPEC)
        resolving.add_done_callback(lambda _: _call(loop, partial(self._slots.free, merchant_id)))
        try:
            addresses = await asyncio.wrap_future(resolving)
            check_addresses((format_address(sockaddr) for *_, sockaddr in addresses), self._policy)
        except AddressRefused as error:
            return ResolvedName(time.monotonic() + CACHE_TIMEOUT_SECONDS, error=error)
        except OSError as error:
            return ResolvedName(time.monotonic() + CACHE_TIMEOUT_SECONDS, error=socket.gaierror(*error.args))
        return ResolvedName(time.monotonic() + CACHE_TIMEOUT_SECONDS, addresses)

    def _remember(self, host: str, found: ResolvedName) -> None:
        self._found[host] = found
        self._found.move_to_end(host)
        if len(self._found) > MAX_NAMES:
            self._found.popitem(last=False)


def resolve_name(host: str, port: int, family: int) -> Sequence[AddressInfo]:
    """Resolve a host with the system's resolver. Blocks."""
    return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)


def format_address(sockaddr: Sequence[Any]) -> str:
    """Return an address with its scope, if it has one: the system keeps the two apart."""
    scoped = ":" in sockaddr[0] and sockaddr[3] != 0 and "%" not in sockaddr[0]
    return f"{sockaddr[0]}%{sockaddr[3]}" if scoped else str(sockaddr[0])


def _call(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Call back in the loop, from a thread that may outlive it."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)


@dataclass(slots=True)
class _Slots:
    """The semaphore of one key. `users` hold or await it."""

    semaphore: asyncio.Semaphore
    users: int = field(default=0)


class SlotLimiter(Generic[Key]):
    """At most `limit` holders of each key. An unused key takes no memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._slots_by_key: dict[Key, _Slots] = {}

    def __len__(self) -> int:
        """Return the number of used keys."""
        return len(self._slots_by_key)

    async def acquire(self, key: Key) -> None:
        """Wait for a slot of this key; the caller calls `free` later."""
        slots = self._slots_by_key.setdefault(key, _Slots(asyncio.Semaphore(self._limit)))
        slots.users += 1
        try:
            await slots.semaphore.acquire()
        except BaseException:
            self._release(key, slots)
            raise

    def free(self, key: Key) -> None:
        """Release a slot."""
        slots = self._slots_by_key[key]
        slots.semaphore.release()
        self._release(key, slots)

    @asynccontextmanager
    async def hold(self, key: Key, *, seconds: float) -> AsyncIterator[bool]:
        """Hold a slot for the block; yield False if none was free in time."""
        try:
            async with asyncio.timeout(seconds):
                await self.acquire(key)
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self.free(key)

    def _release(self, key: Key, slots: _Slots) -> None:
        slots.users -= 1
        if not slots.users:
            del self._slots_by_key[key]
