"""Coalesced writes: many callers, one database transaction.

Items that arrive during a flush go out together in the next one. When no flush is running, an item leaves at once, so
coalescing costs an idle system nothing. Only a queue without waiting callers may gather items for a moment. A caller
gets its result after the commit.

Failures and their handling:

- a deadlock or serialization failure: the same batch again, a few times;
- any other error, of the server or of the program: the batch is halved repeatedly, so that only the items that cause it
  fail; a lack of resources of the server (disk, memory, connections) counts as a lost connection instead;
- a lost connection, and thus a COMMIT with an unknown outcome: the same batch again with the same IDs, for
  `timeout_seconds`. A flush function must therefore be repeatable: it treats its own earlier writes as done.

An item that waits for a flush longer than `wait_seconds` is rejected at once, at any position in the queue; nothing
of it was written. A queue without this bound keeps its items until they are written.

A flush function gets a connection whose statements commit one by one, and opens a database transaction if one statement
is not enough.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Generic, NamedTuple, TypeVar

import asyncpg
import structlog

from tollhouse.kernel.errors import DatabaseUnavailable, InternalError, QueueFull
from tollhouse.storage.database import Database, PlainConnection

Item = TypeVar("Item")
Result = TypeVar("Result")
Flush = Callable[[PlainConnection, Sequence[Item]], Awaitable[Sequence[Result]]]
#: Items, each with the future of its result.
Batch = list[tuple[Item, "asyncio.Future[Result]"]]


class _Waiting(NamedTuple, Generic[Item, Result]):
    """An item before its flush. `deadline` is in the loop's time."""

    item: Item
    future: asyncio.Future[Result]
    deadline: float


MAX_BATCH_ITEMS = 128
MAX_QUEUED_ITEMS = 2_000
DEADLOCK_TRIES = 5
RECONNECT_INTERVAL_SECONDS = 0.1

log = structlog.get_logger()


class Coalescer(Generic[Item, Result]):
    """A queue that gathers items and flushes them in batches, one batch after the other.

    `gather_seconds` is how long a batch that is not full waits for more items, `wait_seconds` how long an item waits
    for a flush before it is rejected; None is no limit.
    """

    def __init__(
        self,
        name: str,
        flush: Flush[Item, Result],
        database: Database,
        *,
        timeout_seconds: float = 2.0,
        wait_seconds: float | None = None,
        queue_limit: int = MAX_QUEUED_ITEMS,
        batch_limit: int = MAX_BATCH_ITEMS,
        gather_seconds: float = 0.0,
    ) -> None:
        self.name = name
        self._flush = flush
        self._database = database
        self._patience_seconds = timeout_seconds
        self._wait_seconds = inf if wait_seconds is None else wait_seconds
        self._queue_limit = queue_limit
        self._batch_limit = batch_limit
        self._gather_seconds = gather_seconds
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._lane: asyncio.Task[None] | None = None
        #: Set for a deadline not later than that of the first item.
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def depth(self) -> int:
        """The number of items that wait for the next flush."""
        return len(self._waiting)

    async def submit(self, item: Item) -> Result:
        """Write one item together with the other waiting ones, and return its result after the commit.

        Raises QueueFull if too many items wait or this one waited too long, DatabaseUnavailable if the database stayed
        unavailable, and the exception of the flush for this item. A canceled caller does not withdraw its item.
        """
        if len(self._waiting) >= self._queue_limit:
            raise QueueFull
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append(_Waiting(item, future, loop.time() + self._wait_seconds))
        if self._lane is None:
            self._lane = asyncio.create_task(self._drain(), name=f"coalesce {self.name}")
        elif self._expiry is None and self._wait_seconds < inf:
            self._expiry = loop.call_at(self._waiting[0].deadline, self._expire)
        return await future

    def _expire(self) -> None:
        """Reject the items whose deadline has passed. They are at the front, because they came first."""
        loop = asyncio.get_running_loop()
        self._expiry = None
        rejected = []
        while self._waiting and self._waiting[0].deadline <= loop.time():
            rejected.append(self._waiting.popleft())
        if rejected:
            log.warning(
                "write_queue.items_rejected", queue=self.name, size=len(rejected), waited_seconds=self._wait_seconds
            )
            _fail([(item, future) for item, future, _ in rejected], QueueFull())
        if self._waiting:
            self._expiry = loop.call_at(self._waiting[0].deadline, self._expire)

    async def _drain(self) -> None:
        """Flush until the queue is empty."""
        batch: Batch[Item, Result] = []
        try:
            while self._waiting:
                if self._gather_seconds and len(self._waiting) < self._batch_limit:
                    await asyncio.sleep(self._gather_seconds)
                size = min(len(self._waiting), self._batch_limit)
                batch = [self._waiting.popleft()[:2] for _ in range(size)]
                await self._write_batch(batch, give_up_at=time.monotonic() + self._patience_seconds)
        except asyncio.CancelledError:
            _fail(batch, DatabaseUnavailable())
            raise
        finally:
            self._lane = None

    async def _write_batch(self, batch: Batch[Item, Result], *, give_up_at: float) -> None:
        """Flush a batch and give every caller its result or its error."""
        try:
            await self._flush_with_retries(batch, give_up_at=give_up_at)
        except DatabaseUnavailable as error:
            _fail(batch, error)
        except Exception as error:  # noqa: BLE001 - each caller gets its own; the queue continues
            if len(batch) == 1:
                _fail(batch, error)
                return
            log.warning("write_queue.batch_split", queue=self.name, size=len(batch), error=type(error).__name__)
            middle = len(batch) // 2
            await self._write_batch(batch[:middle], give_up_at=give_up_at)
            await self._write_batch(batch[middle:], give_up_at=give_up_at)

    async def _flush_with_retries(self, batch: Batch[Item, Result], *, give_up_at: float) -> None:
        """Flush and deliver the results. Flush again after errors that repetition can fix."""
        deadlocks = 0
        is_written = False
        while not is_written:
            try:
                async with self._database.acquire() as connection:
                    results = await self._flush(connection, [item for item, _ in batch])
                    if len(results) != len(batch):
                        raise InternalError(
                            f"A flush of {self.name} had {len(results)} results for {len(batch)} items."
                        )
                    is_written = True
                    # Before the connection is released, which takes some turns of the event loop.
                    _deliver(batch, results)
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                deadlocks += 1
                if deadlocks == DEADLOCK_TRIES:
                    raise
            except DatabaseUnavailable:
                if is_written:  # the connection was lost while it was released
                    return
                if time.monotonic() >= give_up_at:
                    raise
                await asyncio.sleep(RECONNECT_INTERVAL_SECONDS)


def _deliver(batch: Batch[Item, Result], results: Sequence[Result]) -> None:
    for (_, future), result in zip(batch, results, strict=True):
        if not future.done():
            future.set_result(result)


def _fail(batch: Batch[Item, Result], error: BaseException) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
