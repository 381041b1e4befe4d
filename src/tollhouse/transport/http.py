"""The seam over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import aiohttp

from tollhouse.kernel.clock import boot_seconds
from tollhouse.transport.model import NoAnswer, NotSent
from tollhouse.transport.urls import build_exact_url

#: The longest answer that is read: room for a page of whatever a party lists.
MAX_ANSWER_BYTES = 512 * 1024

#: Connections to one party at a time.
MAX_CONNECTIONS = 100


@dataclass(slots=True)
class _Sending:
    """One message on its way: until `is_sent` no byte of it has left.

    `is_on_kept_connection` tells whether its connection was open before.
    """

    timeout_seconds: float
    send_before: float
    patience: asyncio.Timeout
    is_sent: bool = False
    is_on_kept_connection: bool = False

    def begin(self) -> None:
        """Let the first byte go, and the time for the answer begin. Raises NotSent past the deadline.

        A message that is sent once more has what is left of its time.
        """
        if self.is_sent:
            return
        if boot_seconds() >= self.send_before:
            raise NotSent("The deadline for sending had passed.")
        self.is_sent = True
        self.patience.reschedule(asyncio.get_running_loop().time() + self.timeout_seconds)


_sending: ContextVar[_Sending] = ContextVar("sending")


class _Request(aiohttp.ClientRequest):
    """A request that asks its message for permission once it is connected, right before the first byte."""

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Send the request over a connection. Raises NotSent."""
        _sending.get().begin()
        return await super().send(conn)


async def _note_kept_connection(*_: object) -> None:
    _sending.get().is_on_kept_connection = True


class _Session:
    """A client that is made when it is first needed, since that takes a running loop."""

    def __init__(self, max_connections: int, *, keeps_connections: bool) -> None:
        self._max_connections = max_connections
        self._keeps_connections = keeps_connections
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> aiohttp.ClientSession:
        if self._session is None:
            tracing = aiohttp.TraceConfig()
            tracing.on_connection_reuseconn.append(_note_kept_connection)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, force_close=not self._keeps_connections),
                request_class=_Request,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                trace_configs=[tracing],
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class HttpTransport:
    """Posts to paths below one base URL. Redirects are not followed and no proxy of the environment is used.

    At most `max_connections` messages are under way at a time; others wait until their deadline for sending.
    """

    def __init__(
        self, base_url: str, *, authorization: str | None = None, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        self._headers = {"Content-Type": "application/json"}
        if authorization is not None:
            self._headers["Authorization"] = authorization
        self._base_url = base_url.rstrip("/")
        self._kept = _Session(max_connections, keeps_connections=True)
        self._fresh = _Session(max_connections, keeps_connections=False)

    async def close(self) -> None:
        """Close the connections that are kept open."""
        await self._kept.close()
        await self._fresh.close()

    async def post(
        self, path: str, body: bytes, *, timeout_seconds: float, send_before: float, is_repeatable: bool = False
    ) -> bytes:
        """Send a JSON body and return the body of the answer. Raises NotSent and NoAnswer."""
        async with _bound(timeout_seconds, send_before) as sending:
            try:
                return await self._exchange(self._kept, path, body)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if not (is_repeatable and sending.is_sent and sending.is_on_kept_connection):
                    raise
            return await self._exchange(self._fresh, path, body)

    async def _exchange(self, sessions: _Session, path: str, body: bytes) -> bytes:
        async with sessions.open().post(
            build_exact_url(self._base_url + path), data=body, headers=self._headers, allow_redirects=False
        ) as response:
            answer = await _read(response.content)
            if response.status != 200 or len(answer) > MAX_ANSWER_BYTES:
                raise NoAnswer(f"The answer had status {response.status} and {len(answer)} bytes.")
            return answer


@asynccontextmanager
async def _bound(timeout_seconds: float, send_before: float) -> AsyncIterator[_Sending]:
    """Bound a message in time, and translate its failure by whether a byte of it has left."""
    sending = _Sending(timeout_seconds, send_before, asyncio.timeout(max(0.0, send_before - boot_seconds())))
    token = _sending.set(sending)
    try:
        async with sending.patience:
            yield sending
    except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as error:  # the last: a host that is no name
        raise (NoAnswer if sending.is_sent else NotSent) from error
    finally:
        _sending.reset(token)


async def _read(content: aiohttp.StreamReader) -> bytes:
    """Read to the end, or one byte past the bound: an answer may come in pieces."""
    answer = bytearray()
    while len(answer) <= MAX_ANSWER_BYTES:
        piece = await content.read(MAX_ANSWER_BYTES + 1 - len(answer))
        if not piece:
            break
        answer += piece
    return bytes(answer)
