"""What falls due as a merchant's clock is moved: what is asked of every capability that has such a thing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tollhouse.storage.database import Database, PlainConnection

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class DueMoment:
    """The work that a step waits for: what was there at a moment. Later work of other calls holds no clock up."""

    #: The moment by the merchant's time: the work that was due by then.
    time: datetime
    #: The same moment by real time: the work that had begun by then.
    real_at: datetime
    #: Whether endpoints that fail are waited for.
    is_patient: bool = True


async def nothing_due(merchant_id: int, mark: DueMoment) -> None:
    """Stand for the next due instant of what goes by real time alone."""
    del merchant_id, mark


def ask_rows(
    database: Database, select: Callable[[PlainConnection, int, DueMoment], Awaitable[Found]]
) -> Callable[[int, DueMoment], Awaitable[Found]]:
    """Return a question about a merchant that is answered by rows."""

    async def ask(merchant_id: int, mark: DueMoment) -> Found:
        async with database.acquire() as connection:
            return await select(connection, merchant_id, mark)

    return ask


@dataclass(frozen=True, slots=True)
class ClockDrivenTask:
    """A kind of thing that falls due. Each of its functions may be called by any number of processes at a time."""

    #: As merchants read it.
    name: str
    #: Returns when the next one of a merchant falls due, in its time, or None. What is due now may be among it.
    next_due: Callable[[int, DueMoment], Awaitable[datetime | None]]
    #: Tells whether any of a merchant that was due at a mark still is, or is being done by somebody.
    is_busy: Callable[[int, DueMoment], Awaitable[bool]]
    #: Does what is due, whoever's it is, and returns how much that was; what somebody else is doing is left to them.
    run: Callable[[], Coroutine[Any, Any, int]]
