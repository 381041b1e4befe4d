"""Keeping loops alive: each runs until it is told to stop, and one that fell over is set up again after a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog

from tollhouse.kernel.errors import DatabaseUnavailable

#: After a loop fell over.
TROUBLE_PAUSE_SECONDS = 1.0

Loop = Callable[[], Awaitable[None]]

log = structlog.get_logger()


async def run_loops(loops: Mapping[str, Loop], stop: asyncio.Event) -> None:
    """Run loops side by side until `stop` is set and each has ended."""
    await asyncio.gather(*(_keep_alive(name, loop, stop) for name, loop in loops.items()))


async def run_every(seconds: float, work: Callable[[], Awaitable[object]], stop: asyncio.Event) -> None:
    """Do a piece of work again and again, with a pause between, until `stop` is set."""
    while not stop.is_set():
        await work()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), timeout=seconds)


def end_with(stop: asyncio.Event, work: Callable[[], Awaitable[object]], *, drain_seconds: float) -> Loop:
    """Bound a piece of work that may wait long for others: when `stop` is set it has some seconds left.

    Then it is cancelled; what it had leased comes back by its lease.
    """

    async def bounded() -> None:
        working, stopping = asyncio.ensure_future(work()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                await asyncio.wait({working}, timeout=drain_seconds)
            if working.done():
                working.result()
        finally:
            working.cancel()
            stopping.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    return bounded


async def _keep_alive(name: str, loop: Loop, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await loop()
        except DatabaseUnavailable:
            log.warning("loop waits for the database", loop=name)
        except Exception:
            log.exception("loop fell over", loop=name)
        else:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), timeout=TROUBLE_PAUSE_SECONDS)
