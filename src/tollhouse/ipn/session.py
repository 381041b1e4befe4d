"""The HTTP session that callbacks leave through: it connects to checked addresses only, and follows nothing.

Resolving and checking happen when a connection is made, and the connection is made to the very address that was
checked: a name that resolves to something else a moment later gains nothing by it. A socket is checked once more when
it is opened, which also covers URLs with an address in place of a name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from tollhouse.ipn.address import AddressPolicy, check_address, check_addresses

#: Name servers that do not answer hold a thread each; a pool of our own keeps them from holding up anything else.
RESOLVER_THREADS = 32

#: Shorter than what common servers keep an idle connection for, so that we are the ones to close it.
KEEP_ALIVE_SECONDS = 2.0

#: What is buffered of an answer before the connection is told to wait.
READ_BUFFER_BYTES = 16 * 1024

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
Lookup = Callable[[str, int, int], Sequence[AddressInfo]]


@dataclass(slots=True)
class Peer:
    """Whom an attempt talks to.

    `opened` is False while it has only used a connection that was kept from an earlier one.
    """

    address: str | None = None
    opened: bool = False


#: The current attempt's own; the tasks that the HTTP client starts to connect see the same object.
peer: ContextVar[Peer | None] = ContextVar("peer", default=None)


def open_session(policy: AddressPolicy, *, lookup: Lookup | None = None) -> aiohttp.ClientSession:
    """Open a session under an address policy, for the caller to close. `lookup` stands in for the system's resolver."""
    connector = aiohttp.TCPConnector(
        resolver=CheckedResolver(policy, lookup or look_up),
        socket_factory=_make_socket_factory(policy),
        use_dns_cache=False,
        limit=0,  # runs are bounded per host and in all by who starts them
        keepalive_timeout=KEEP_ALIVE_SECONDS,
    )
    return aiohttp.ClientSession(
        connector=connector,
        response_class=_Response,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        read_bufsize=READ_BUFFER_BYTES,
        skip_auto_headers=("Accept", "Accept-Encoding"),
    )


def look_up(host: str, port: int, family: int) -> Sequence[AddressInfo]:
    """Ask the system for the addresses of a host. Blocks."""
    return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)


class CheckedResolver(AbstractResolver):
    """Resolves names, and refuses those of which any address is refused."""

    def __init__(self, policy: AddressPolicy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="ipn-resolver")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the checked addresses of a host.

        Raises OSError where there are none, AddressRefused where one is refused.
        """
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._lookup, host, port, family)
        check_addresses((_spell(sockaddr) for *_, sockaddr in found), self._policy)
        return [
            ResolveResult(
                hostname=host,
                host=sockaddr[0],
                port=port,
                family=family,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for family, _, proto, _, sockaddr in found
        ]

    async def close(self) -> None:
        """Let the threads go, without waiting for those that still ask."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Response(aiohttp.ClientResponse):
    """Notes the peer also of a connection that was kept from an earlier attempt."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        if connection.transport is not None:
            _note(connection.transport.get_extra_info("peername"))
        return await super().start(connection)


def _make_socket_factory(policy: AddressPolicy) -> Callable[[AddressInfo], socket.socket]:
    def open_socket(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, sockaddr = info
        check_address(_spell(sockaddr), policy)
        _note(sockaddr, opened=True)
        return socket.socket(family, kind, protocol)

    return open_socket


def _spell(sockaddr: Sequence[Any]) -> str:
    """Write an address with the link it is on, if it is bound to one: the system keeps the two apart."""
    scoped = ":" in sockaddr[0] and sockaddr[3] != 0 and "%" not in sockaddr[0]
    return f"{sockaddr[0]}%{sockaddr[3]}" if scoped else str(sockaddr[0])


def _note(sockaddr: Sequence[Any] | None, *, opened: bool = False) -> None:
    noted = peer.get()
    if noted is not None and sockaddr:
        host = f"[{sockaddr[0]}]" if ":" in sockaddr[0] else sockaddr[0]
        noted.address = f"{host}:{sockaddr[1]}"
        noted.opened = noted.opened or opened
