"""What falls due as a merchant's clock is moved: what is asked of every capability that has such a thing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection


async def nothing_due(connection: PlainConnection, merchant_id: int) -> None:
    """Stand for the next due instant of what goes by real time alone."""
    del connection, merchant_id


@dataclass(frozen=True, slots=True)
class Faller:
    """A kind of thing that falls due. Each of its functions may be called by any number of processes at a time."""

    #: As merchants read it: where there is a next instant, a word of `wire.clock.DueAnswer`.
    name: str
    #: Returns when the next one of a merchant falls due, in its time, or None. What is due now may be among it.
    next_due: Callable[[PlainConnection, int], Awaitable[datetime | None]]
    #: Tells whether any of a merchant is due, or is being done by somebody.
    is_busy: Callable[[PlainConnection, int], Awaitable[bool]]
    #: Does what is due, whoever's it is, and returns how much that was; what somebody else is doing is left to them.
    run: Callable[[], Coroutine[Any, Any, int]]
