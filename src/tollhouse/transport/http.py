"""The HTTP transport, and the URLs that its client sends unchanged. By default it would rewrite escapes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import aiohttp
from yarl import URL

from tollhouse.kernel.clock import boot_seconds
from tollhouse.kernel.urls import build_target
from tollhouse.transport.model import NoResponse, RequestNotSent

#: The maximum size of a response, large enough for a page of any list.
MAX_RESPONSE_BYTES = 512 * 1024

#: Concurrent connections to one party.
MAX_CONNECTIONS = 100


@dataclass(slots=True)
class _Sending:
    """A message being sent. Until `is_sent`, no byte of it has left.

    `is_on_kept_connection` is true if its connection was open before.
    """

    timeout_seconds: float
    send_before: float
    patience: asyncio.Timeout
    is_sent: bool = False
    is_on_kept_connection: bool = False

    def begin(self) -> None:
        """Permit the first byte and start the response timeout. Raises RequestNotSent past the deadline.

        A message that is sent again has only the rest of its time.
        """
        if self.is_sent:
            return
        if boot_seconds() >= self.send_before:
            raise RequestNotSent("The deadline for sending had passed.")
        self.is_sent = True
        self.patience.reschedule(asyncio.get_running_loop().time() + self.timeout_seconds)


_sending: ContextVar[_Sending] = ContextVar("sending")


class _Request(aiohttp.ClientRequest):
    """A request that checks its deadline after connecting, right before the first byte."""

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Send the request over a connection. Raises RequestNotSent."""
        _sending.get().begin()
        return await super().send(conn)


async def _note_kept_connection(*_: object) -> None:
    _sending.get().is_on_kept_connection = True


class _Session:
    """An HTTP client that is created at first use, because it needs a running event loop."""

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
    """A transport that posts to paths below one base URL. It follows no redirects and uses no proxy of the environment.

    At most `max_connections` messages are sent at a time. Others wait until their deadline for sending.
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
        """Close the open connections."""
        await self._kept.close()
        await self._fresh.close()

    async def post(
        self, path: str, body: bytes, *, timeout_seconds: float, send_before: float, is_repeatable: bool = False
    ) -> bytes:
        """Send a JSON body and return the body of the response. Raises RequestNotSent and NoResponse."""
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
            if response.status != 200 or len(answer) > MAX_RESPONSE_BYTES:
                raise NoResponse(f"The answer had status {response.status} and {len(answer)} bytes.")
            return answer


@asynccontextmanager
async def _bound(timeout_seconds: float, send_before: float) -> AsyncIterator[_Sending]:
    """Limit the time of a message, and choose the exception by whether a byte of it has left."""
    sending = _Sending(timeout_seconds, send_before, asyncio.timeout(max(0.0, send_before - boot_seconds())))
    token = _sending.set(sending)
    try:
        async with sending.patience:
            yield sending
    except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as error:  # the last: an invalid host name
        raise (NoResponse if sending.is_sent else RequestNotSent) from error
    finally:
        _sending.reset(token)


async def _read(content: aiohttp.StreamReader) -> bytes:
    """Read to the end, or one byte past the maximum. A response may arrive in pieces."""
    answer = bytearray()
    while len(answer) <= MAX_RESPONSE_BYTES:
        piece = await content.read(MAX_RESPONSE_BYTES + 1 - len(answer))
        if not piece:
            break
        answer += piece
    return bytes(answer)


def build_exact_url(url: str) -> URL:
    """Build the URL that is called, byte for byte. Raises AddressRefused if it is malformed.

    The query is passed with the path, because the client drops an empty one.
    """
    target = build_target(url)
    return URL.build(scheme=target.scheme, authority=target.authority, path=target.path, encoded=True)
