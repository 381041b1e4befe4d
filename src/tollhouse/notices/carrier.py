"""The seam to whoever carries letters."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tollhouse.notices.model import Email


@dataclass(frozen=True, slots=True)
class Carried:
    """The letter was taken over."""


@dataclass(frozen=True, slots=True)
class Delayed:
    """It was not, and may be another time. The text says why in a few words, without the letter."""

    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody takes this letter, now or later: there is no such address."""

    text: str


Outcome = Carried | Delayed | Refused


class MailTransport(Protocol):
    """Whoever carries letters."""

    def carry(self, letters: Sequence[Email]) -> AsyncGenerator[Outcome]:
        """Carry letters one after the other over one connection, and yield of each how it went, as soon as it is known.

        A letter is begun only when the next outcome is asked for. Does not raise for what the other side or the network
        does, nor for a letter that cannot be written.
        """
        ...


class ShownCarrier:
    """The carrier of stage: nothing leaves. The inbox page shows the letters from their rows."""

    async def carry(self, letters: Sequence[Email]) -> AsyncGenerator[Outcome]:
        """Take every letter."""
        for _ in letters:
            yield Carried()
