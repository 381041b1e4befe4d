"""The interface of tasks that fall due by a merchant's clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from tollhouse.storage.database import Database, PlainConnection

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class DueMoment:
    """The work that a step waits for. Work that other calls begin later does not stop the clock."""

    #: Merchant time: work that was due by then.
    time: datetime
    #: The same in real time: work that had begun by then.
    real_at: datetime
    #: Whether to wait for failing endpoints.
    is_patient: bool = True


async def return_no_due_time(merchant_id: int, mark: DueMoment) -> None:
    """Return no due time, for tasks that depend on real time alone."""
    del merchant_id, mark


def query_rows(
    database: Database, select: Callable[[PlainConnection, int, DueMoment], Awaitable[Found]]
) -> Callable[[int, DueMoment], Awaitable[Found]]:
    """Return a function that queries rows of a merchant."""

    async def ask(merchant_id: int, mark: DueMoment) -> Found:
        async with database.acquire() as connection:
            return await select(connection, merchant_id, mark)

    return ask


@dataclass(frozen=True, slots=True)
class ClockDrivenTask:
    """A task driven by the clock. Any number of processes may call its functions concurrently."""

    #: The name that merchants see.
    name: str
    #: Returns the next due time of a merchant, in merchant time, or None. It may be past.
    next_due: Callable[[int, DueMoment], Awaitable[datetime | None]]
    #: Returns whether work of a merchant that was due at a time still is, or is in progress.
    is_busy: Callable[[int, DueMoment], Awaitable[bool]]
    #: Does due work of all merchants, except work leased elsewhere, and returns its amount.
    run: Callable[[], Coroutine[Any, Any, int]]
