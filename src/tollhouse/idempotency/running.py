"""Requests that run in this process, each in a task of its own, which a disconnect does not cancel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog

from tollhouse.idempotency.model import Claim
from tollhouse.kernel.errors import Rejection, Unavailable
from tollhouse.kernel.rendered_response import RenderedResponse

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
#: Merchant, operation and X-Request-ID.
Key = tuple[int, str, str]

log = structlog.get_logger()


class RunningRequest:
    """A running request: its task, and the payment or operation that it began, once that is committed."""

    task: asyncio.Task[RenderedResponse]

    def __init__(self, digest: bytes = b"") -> None:
        self.digest = digest
        self.begun: Any = None
        self._begun_at = 0.0

    def note_begun(self, begun: object) -> None:
        """Record that something is begun and committed. From now on the client waits for its outcome."""
        self.begun = begun
        self._begun_at = time.monotonic()

    async def wait(self, seconds: float) -> RenderedResponse | None:
        """Return the response, or None after a time-out, which counts from `note_begun`.

        All clients that wait for this request stop at the same time. Raises everything that the work raises.
        """
        while (left := self._seconds_left(seconds)) > 0:
            if await _is_done_within(self.task, left):
                return self.task.result()
        return None

    def _seconds_left(self, seconds: float) -> float:
        return seconds if self.begun is None else self._begun_at + seconds - time.monotonic()


async def _is_done_within(task: asyncio.Task[Any], seconds: float) -> bool:
    """Wait for a task, at most for so long, and return whether it is done. It continues if its caller is canceled."""
    loop = asyncio.get_running_loop()
    woken = loop.create_future()
    wake = partial(_wake, woken)
    task.add_done_callback(wake)
    timer = loop.call_later(seconds, wake, None)
    try:
        await woken
    finally:
        timer.cancel()
        task.remove_done_callback(wake)
    return task.done()


def _wake(woken: asyncio.Future[None], _: Any) -> None:
    if not woken.done():
        woken.set_result(None)


class Running:
    """The requests and other tasks that this process finishes before it stops."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._by_claim: dict[Key, RunningRequest] = {}

    def find(self, claim: Claim | None) -> RunningRequest | None:
        """Return the running request with the same key. Raises RequestIdReused if its body differs."""
        work = self._by_claim.get(_key_of(claim)) if claim else None
        if work is not None and claim is not None:
            claim.check(work.digest)
        return work

    def begin(
        self,
        claim: Claim | None,
        carry_out: Callable[Concatenate[RunningRequest, Parameters], Coroutine[Any, Any, RenderedResponse]],
        *arguments: Parameters.args,
        **options: Parameters.kwargs,
    ) -> RunningRequest:
        """Run a request in a task of its own. Equal requests find it until it ends."""
        work = RunningRequest(claim.digest if claim else b"")
        work.task = self.start("request", carry_out, work, *arguments, **options)
        if claim is not None:
            self._by_claim[_key_of(claim)] = work
            work.task.add_done_callback(partial(self._forget_claim, claim))
        return work

    def start(
        self,
        name: str,
        function: Callable[Parameters, Coroutine[Any, Any, Result]],
        *arguments: Parameters.args,
        **options: Parameters.kwargs,
    ) -> asyncio.Task[Result]:
        """Run a function in a task that continues if its caller is canceled."""
        task = asyncio.create_task(function(*arguments, **options), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    async def drain(self, *, seconds: float) -> int:
        """Wait for the running tasks; return the number that is left to the resolver."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        return len(self._tasks)

    def _forget_claim(self, claim: Claim, _: asyncio.Task[Any]) -> None:
        self._by_claim.pop(_key_of(claim), None)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Unavailable):  # the resolver continues
            log.warning("work.interrupted", work=task.get_name(), error=type(error).__name__)
        elif isinstance(error, Rejection):  # the caller handles it
            log.debug("work.rejected", work=task.get_name(), error=type(error).__name__)
        elif error is not None:
            log.error("work.failed", work=task.get_name(), exc_info=error)


def _key_of(claim: Claim) -> Key:
    return claim.merchant_id, claim.operation, claim.request_id
