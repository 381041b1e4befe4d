"""The sender of stage: nothing leaves, and the last messages are there to be shown."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tollhouse.phones.sender import Message

LIMIT = 200


@dataclass(frozen=True, slots=True, repr=False)
class ShownMessage:
    """A message, and when it would have left. Numbered in this process, from 1."""

    number: int
    sent_at: datetime
    message: Message


class ShownSender:
    """Takes every message and remembers the last few, in this process only."""

    def __init__(self, channels: Sequence[str], limit: int = LIMIT) -> None:
        self.channels: Sequence[str] = tuple(channels)
        self._sent = 0
        self._messages: deque[ShownMessage] = deque(maxlen=limit)

    async def send(self, message: Message) -> None:
        """Remember a message."""
        self._sent += 1
        self._messages.append(ShownMessage(self._sent, datetime.now(UTC), message))

    async def close(self) -> None:
        """Let go of nothing: the messages are still to be seen."""

    def shown(self, merchant_id: int) -> list[ShownMessage]:
        """Return the messages of a merchant, newest first."""
        return [one for one in reversed(self._messages) if one.message.merchant_id == merchant_id]
