"""The interface of message senders, and the senders of live and of stage.

A message contains a code in clear text. It exists only until it is sent, and cannot be printed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import msgspec
import structlog

from tollhouse.kernel.clock import boot_seconds
from tollhouse.kernel.errors import Unavailable
from tollhouse.phones.model import Phone
from tollhouse.transport.http import HttpTransport
from tollhouse.transport.model import NoResponse, RequestNotSent

WEBHOOK_TIMEOUT_SECONDS = 10.0
#: Messages that the sender of stage keeps for display.
MAX_RECORDED_MESSAGES = 200

log = structlog.get_logger()


class MessageNotSent(Unavailable):
    """The message could not be sent. Request another code."""


class MessageUnconfirmed(MessageNotSent):
    """The message may have been sent. Its code stays valid until another one is requested."""


@dataclass(frozen=True, slots=True, repr=False)
class PhoneMessage:
    """A text message. `sender_name` is the displayed sender, if the channel supports one."""

    merchant_id: int
    channel: str
    phone: Phone
    sender_name: str
    text: str


class MessageSender(Protocol):
    """A sender of messages to phones."""

    @property
    def channels(self) -> Sequence[str]:
        """The available channels, such as `sms`. Empty if messages cannot be sent."""
        ...

    async def send(self, message: PhoneMessage) -> None:
        """Send a message. Raises MessageNotSent."""
        ...

    async def close(self) -> None:
        """Close open connections."""
        ...


class DisabledSender:
    """A sender without channels, if none is configured."""

    channels: Sequence[str] = ()

    async def send(self, message: PhoneMessage) -> None:
        """Raise MessageNotSent, because there is no channel."""
        raise MessageNotSent(f"There is no sender for {message.channel}.")

    async def close(self) -> None:
        """Do nothing."""


class WebhookSender:
    """A sender that posts messages to an HTTP endpoint of the operator, which forwards them to a provider.

    It posts `{"channel", "to", "from", "text"}` as JSON and expects 200 when the message is accepted.
    """

    def __init__(self, transport: HttpTransport, channels: Sequence[str]) -> None:
        self._transport = transport
        self.channels: Sequence[str] = tuple(channels)

    async def send(self, message: PhoneMessage) -> None:
        """Post a message. Raises MessageNotSent."""
        content = {
            "channel": message.channel,
            "to": message.phone.number,
            "from": message.sender_name,
            "text": message.text,
        }
        try:
            await self._transport.post(
                "",
                msgspec.json.encode(content),
                timeout_seconds=WEBHOOK_TIMEOUT_SECONDS,
                send_before=boot_seconds() + WEBHOOK_TIMEOUT_SECONDS,
            )
        except (RequestNotSent, NoResponse) as error:
            log.warning("phone_message.send_failed", channel=message.channel, error=type(error).__name__)
            raise (MessageUnconfirmed if isinstance(error, NoResponse) else MessageNotSent) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()


@dataclass(frozen=True, slots=True, repr=False)
class RecordedMessage:
    """A message with the time of its sending, numbered from 1 in this process."""

    number: int
    sent_at: datetime
    message: PhoneMessage


class RecordingSender:
    """A sender that accepts every message and keeps the last few, in this process only."""

    def __init__(self, channels: Sequence[str], limit: int = MAX_RECORDED_MESSAGES) -> None:
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
