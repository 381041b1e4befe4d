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
    """One message on its way: until `is_sent` no byte of it has left."""

    timeout_seconds: float
    send_before: float
    patience: asyncio.Timeout
    is_sent: bool = False

    def begin(self) -> None:
        """Let the first byte go, and the time for the answer begin. Raises NotSent past the deadline."""
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
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections that are kept open."""
        if self._session is not None:
            await self._session.close()

    async def post(self, path: str, body: bytes, *, timeout_seconds: float, send_before: float) -> bytes:
        """Send a JSON body and return the body of the answer. Raises NotSent and NoAnswer."""
        async with (
            _bound(timeout_seconds, send_before),
            self._open_session().post(
                build_exact_url(self._base_url + path), data=body, headers=self._headers, allow_redirects=False
            ) as response,
        ):
            answer = await _read(response.content)
            if response.status != 200 or len(answer) > MAX_ANSWER_BYTES:
                raise NoAnswer(f"The answer had status {response.status} and {len(answer)} bytes.")
            return answer

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections),
                request_class=_Request,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                trust_env=False,
            )
        return self._session


@asynccontextmanager
async def _bound(timeout_seconds: float, send_before: float) -> AsyncIterator[None]:
    """Bound a message in time, and translate its failure by whether a byte of it has left."""
    sending = _Sending(timeout_seconds, send_before, asyncio.timeout(max(0.0, send_before - boot_seconds())))
    token = _sending.set(sending)
    try:
        async with sending.patience:
            yield
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
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
