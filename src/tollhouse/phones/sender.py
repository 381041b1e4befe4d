"""The seam to whoever carries a message to a phone, and who does in live.

A message holds a code in the clear. It lives as long as it takes to hand it over, and cannot be printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog

from tollhouse.kernel.clock import boot_seconds
from tollhouse.kernel.errors import Unavailable
from tollhouse.phones.model import Phone
from tollhouse.transport.model import NoAnswer, NotSent

if TYPE_CHECKING:
    from tollhouse.transport.http import HttpTransport

WEBHOOK_SECONDS = 10.0

log = structlog.get_logger()


class MessageNotSent(Unavailable):
    """The message could not be handed over; ask for another code."""


class MessageUnconfirmed(MessageNotSent):
    """Nobody knows whether the message was taken over; a code in it stays good until another one is asked for."""


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """A text for a phone. `sender_name` is whom it should come from, where a channel can say so."""

    merchant_id: int
    channel: str
    phone: Phone
    sender_name: str
    text: str


class Sender(Protocol):
    """Whoever carries messages to phones."""

    @property
    def channels(self) -> Sequence[str]:
        """The ways there are, such as `sms`; none where messages cannot be sent."""
        ...

    async def send(self, message: Message) -> None:
        """Hand a message over. Raises MessageNotSent."""
        ...

    async def close(self) -> None:
        """Let go of what is kept open."""
        ...


class NoSender:
    """Nobody: no channel is set up."""

    channels: Sequence[str] = ()

    async def send(self, message: Message) -> None:
        """Refuse; no channel leads here."""
        raise MessageNotSent(f"There is no sender for {message.channel}.")

    async def close(self) -> None:
        """Let go of nothing."""


class WebhookSender:
    """Hands messages to an HTTP endpoint of the operator's, which knows a provider.

    It gets `{"channel", "to", "from", "text"}` as JSON and answers 200 when it has taken the message over.
    """

    def __init__(self, transport: HttpTransport, channels: Sequence[str]) -> None:
        self._transport = transport
        self.channels: Sequence[str] = tuple(channels)

    async def send(self, message: Message) -> None:
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
                timeout_seconds=WEBHOOK_SECONDS,
                send_before=boot_seconds() + WEBHOOK_SECONDS,
            )
        except (NotSent, NoAnswer) as error:
            log.warning("message not sent", channel=message.channel, error=type(error).__name__)
            raise (MessageUnconfirmed if isinstance(error, NoAnswer) else MessageNotSent) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()
