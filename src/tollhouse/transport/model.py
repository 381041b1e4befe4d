"""The interface of transports to outside parties: send bytes, receive bytes, and report failures precisely.

Each message has a deadline for its first byte, `send_before`. A process may be paused at any moment while others
continue. Without a deadline it could send a request for money after its outcome was finished without it.
"""

from __future__ import annotations

from typing import Protocol

from tollhouse.kernel.errors import TollhouseError


class RequestNotSent(TollhouseError):
    """The message was not sent: no connection was made, or the deadline for sending had passed."""


class NoResponse(TollhouseError):
    """The message may have arrived, and no response was received."""


class Transport(Protocol):
    """A transport to one outside party."""

    async def post(
        self, path: str, body: bytes, *, timeout_seconds: float, send_before: float, is_repeatable: bool = False
    ) -> bytes:
        """Send a JSON body and return the body of the response.

        `send_before` is an instant of `kernel.clock.boot_seconds`: the deadline for connecting, checked again right
        before the first byte. From then on the response may take `timeout_seconds`.

        A message is repeatable if it has the same effect when it arrives twice: an inquiry, a reversal, an
        acknowledgment. It is sent again, within the same time, if a kept connection broke before the response, as it
        does when the other side closes it for being idle. Any other message is sent once, because it may have arrived.

        Raises RequestNotSent if the message was not sent, and NoResponse for any other failure: a timeout after
        the first byte, a reset, a status other than 200.
        """
        ...
