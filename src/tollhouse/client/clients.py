"""Both clients: one that waits for responses, and one whose responses are awaited."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self, TypeVar

import httpx

from tollhouse.client.core import AttemptOutcome, Call, Exchange, PreparedRequest, Retries, check_base_url
from tollhouse.client.methods import Awaited, Methods, Waiting

Answer = TypeVar("Answer")

#: Longer than the gateway's own timeout, after which it returns `pending`.
TIMEOUT_SECONDS = 30.0


class Client(Methods, Waiting):
    """A client of one gateway under one API key. Close it, or use it in a `with` block. Threads may share it.

    The key may be empty for calls without authentication, such as `tokenize`. Raises ValueError for an invalid base
    URL.
    """

    def __init__(
        self, base_url: str, key: str = "", *, retries: Retries | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._base_url = check_base_url(base_url)
        self._key = key
        self._retries = retries or Retries()
        self._http = httpx.Client(timeout=timeout_seconds, follow_redirects=False)

    def send(self, call: Call[Answer]) -> Answer:
        """Send a call, again under the same idempotency key if necessary, and return its response.

        Raises ApiError if the gateway rejected it, and NotAnswered if the outcome is unknown.
        """
        exchange = Exchange(call, self._retries, base_url=self._base_url, key=self._key)
        pause = exchange.take(self._attempt(exchange.message))
        while pause is not None:
            time.sleep(pause)
            pause = exchange.take(self._attempt(exchange.message))
        return exchange.answer()

    def _attempt(self, message: PreparedRequest) -> AttemptOutcome:
        try:
            answer = self._http.request(message.method, message.url, content=message.content, headers=message.headers)
        except httpx.RequestError as error:
            return AttemptOutcome(None, cause=error)
        return AttemptOutcome(answer.status_code, answer.content, answer.headers.get("retry-after"))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(Methods, Awaited):
    """A client of one gateway under one API key. Close it, or use it in an `async with` block. Tasks may share it.

    The key may be empty for calls without authentication, such as `tokenize`. Raises ValueError for an invalid base
    URL.
    """

    def __init__(
        self, base_url: str, key: str = "", *, retries: Retries | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._base_url = check_base_url(base_url)
        self._key = key
        self._retries = retries or Retries()
        self._http = httpx.AsyncClient(timeout=timeout_seconds, follow_redirects=False)

    async def send(self, call: Call[Answer]) -> Answer:
        """Send a call, again under the same idempotency key if necessary, and return its response.

        Raises ApiError if the gateway rejected it, and NotAnswered if the outcome is unknown.
        """
        exchange = Exchange(call, self._retries, base_url=self._base_url, key=self._key)
        pause = exchange.take(await self._attempt(exchange.message))
        while pause is not None:
            await asyncio.sleep(pause)
            pause = exchange.take(await self._attempt(exchange.message))
        return exchange.answer()

    async def _attempt(self, message: PreparedRequest) -> AttemptOutcome:
        try:
            answer = await self._http.request(
                message.method, message.url, content=message.content, headers=message.headers
            )
        except httpx.RequestError as error:
            return AttemptOutcome(None, cause=error)
        return AttemptOutcome(answer.status_code, answer.content, answer.headers.get("retry-after"))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
