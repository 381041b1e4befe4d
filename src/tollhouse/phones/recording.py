"""The sender of stage: it sends nothing and keeps the last messages for display."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tollhouse.phones.sender import PhoneMessage

LIMIT = 200


@dataclass(frozen=True, slots=True, repr=False)
class RecordedMessage:
    """A message with the time of its sending, numbered from 1 in this process."""

    number: int
    sent_at: datetime
    message: PhoneMessage


class RecordingSender:
    """A sender that accepts every message and keeps the last few, in this process only."""

    def __init__(self, channels: Sequence[str], limit: int = LIMIT) -> None:
        self.channels: Sequence[str] = tuple(channels)
        self._sent = 0
        self._messages: deque[RecordedMessage] = deque(maxlen=limit)

    async def send(self, message: PhoneMessage) -> None:
        """Keep a message."""
        self._sent += 1
        self._messages.append(RecordedMessage(self._sent, datetime.now(UTC), message))

    async def close(self) -> None:
        """Do nothing: the messages stay available."""

    def shown(self, merchant_id: int) -> list[RecordedMessage]:
        """Return the messages of a merchant, newest first."""
        return [one for one in reversed(self._messages) if one.message.merchant_id == merchant_id]
