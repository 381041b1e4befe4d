"""HTTP sessions of callbacks: they connect to checked addresses only, and follow no redirects.

Names are resolved and checked before a connection is made, and the connection uses the checked address: a later change
of the name has no effect. A socket is checked again when it is opened, which also covers URLs with an address.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler

from tollhouse.ipn.delivery.names import AddressInfo, Lookup, NameResolver, SlotLimiter, format_address, resolve_name
from tollhouse.kernel.urls import AddressPolicy, check_address

#: Shorter than the keep-alive time of common servers, so that our side closes idle connections.
KEEP_ALIVE_TIMEOUT_SECONDS = 2.0

#: Buffered bytes of a response; then reading pauses.
READ_BUFFER_BYTES = 16 * 1024

#: Attempts of one merchant to one address at a time.
MAX_ATTEMPTS_AT_ADDRESS = 16

#: An empty line, which ends a header, also at the beginning of a chunk.
_EMPTY_LINE = re.compile(rb"\A\r?\n|\n\r?\n")


@dataclass(slots=True)
class Peer:
    """The merchant and the address of an attempt.

    `opened` is False if it has only used kept connections.
    """

    merchant_id: int = 0
    address: str | None = None
    opened: bool = False


#: The peer of the current attempt. Tasks that the HTTP client starts share it.
peer: ContextVar[Peer | None] = ContextVar("peer", default=None)


class CallbackSession:
    """Two sessions under one address policy: `kept` reuses connections, `fresh` does not.

    `names` resolves for both, `slots` limits the attempts at each merchant and address.
    """

    def __init__(self, policy: AddressPolicy, lookup: Lookup, *, at_address: int) -> None:
        self.names = NameResolver(policy, lookup)
        self.slots: SlotLimiter[tuple[int, str]] = SlotLimiter(at_address)
        self.kept = _open(policy, self.names, keepalive_timeout=KEEP_ALIVE_TIMEOUT_SECONDS)
        self.fresh = _open(policy, self.names, force_close=True)

    async def __aenter__(self) -> Self:
        """Return the session."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        await self.kept.close()
        await self.fresh.close()
        self.names.close()


def open_session(
    policy: AddressPolicy, *, lookup: Lookup | None = None, at_address: int = MAX_ATTEMPTS_AT_ADDRESS
) -> CallbackSession:
    """Open a session under an address policy, for the caller to close. `lookup` replaces the system's resolver."""
    return CallbackSession(policy, lookup or resolve_name, at_address=at_address)


def _open(policy: AddressPolicy, names: NameResolver, **options: Any) -> aiohttp.ClientSession:
    connector = _Connector(
        resolver=CheckedResolver(names),
        socket_factory=_make_socket_factory(policy),
        use_dns_cache=False,  # `names` has a cache with checks
        limit=0,  # the callers limit runs per host and in all
        **options,
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


class CheckedResolver(AbstractResolver):
    """A resolver that returns checked addresses to the HTTP client."""

    def __init__(self, names: NameResolver) -> None:
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the checked addresses of a host.

        Raises OSError if there are none, AddressRefused if the policy forbids one.
        """
        del family
        target = peer.get()
        found = await self._names.find(host, merchant_id=target.merchant_id if target else 0)
        return [
            ResolveResult(
                hostname=host,
                host=sockaddr[0],
                port=port,
                family=family_found,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for family_found, _, proto, _, sockaddr in found
        ]

    async def close(self) -> None:
        """Do nothing: the session closes the names."""


class _Connector(aiohttp.TCPConnector):
    """A connector whose connections parse the header separately."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial[_Protocol](_Protocol, loop=self._loop)  # type: ignore[assignment]  # a subclass of their protocol


class _Protocol(ResponseHandler):
    """A parser of the header before the data that follow it.

    The parser of the client discards a header if the body in the same packet is bad. Parsed separately, the status
    counts for every split into packets.
    """

    def data_received(self, data: bytes) -> None:
        """Parse data, split after each empty line."""
        ends = [line.end() for line in _EMPTY_LINE.finditer(data)]
        for begin, end in pairwise((0, *ends, len(data))):
            if begin == end and data:
                continue
            super().data_received(data[begin:end])
            if (error := self.exception()) is not None:
                self._end_body(error)
                return

    def _end_body(self, error: BaseException) -> None:
        """Fail the readers of the body, who would otherwise wait for their time-out."""
        body = self._payload
        if body is not None and body.exception() is None:
            body.set_exception(aiohttp.ClientPayloadError("The body is bad."), error)


class _Response(aiohttp.ClientResponse):
    """A response that records its peer, also for a kept connection."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        if connection.transport is not None:
            _record_peer(connection.transport.get_extra_info("peername"))
        return await super().start(connection)


def _make_socket_factory(policy: AddressPolicy) -> Callable[[AddressInfo], socket.socket]:
    def open_socket(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, sockaddr = info
        check_address(format_address(sockaddr), policy)
        _record_peer(sockaddr, opened=True)
        return socket.socket(family, kind, protocol)

    return open_socket


def _record_peer(sockaddr: Sequence[Any] | None, *, opened: bool = False) -> None:
    target = peer.get()
    if target is not None and sockaddr:
        host = f"[{sockaddr[0]}]" if ":" in sockaddr[0] else sockaddr[0]
        target.address = f"{host}:{sockaddr[1]}"
        target.opened = target.opened or opened
