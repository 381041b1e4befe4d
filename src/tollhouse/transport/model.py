"""The seam to an outside party: send some bytes, get some back, and say what is known when that fails.

Each message has a deadline for its first byte, `send_before`. A process may be paused at any moment, and the world goes
on meanwhile: without a deadline it would send a request for money after its outcome was settled without it.
"""

from __future__ import annotations

from typing import Protocol

from tollhouse.kernel.errors import TollhouseError


class NotSent(TollhouseError):
    """The message surely did not leave: no connection was made, or its deadline for sending had passed."""


class NoAnswer(TollhouseError):
    """The message may have arrived, and no answer came back."""


class Transport(Protocol):
    """A way to one outside party."""

    async def post(
        self, path: str, body: bytes, *, timeout_seconds: float, send_before: float, is_repeatable: bool = False
    ) -> bytes:
        """Send a JSON body and return the body of the answer.

        `send_before` is an instant of `kernel.clock.boot_seconds`: a connection is waited for until then, and the
        deadline is checked once there is one, right before the first byte. From then on the answer may take
        `timeout_seconds`.

        A message is repeatable if it does no more when it arrives twice: a question, a reversal, an acknowledgement. It
        is sent once more, within the same time, if a connection kept from an earlier message broke before the answer,
        as it does when the other side closes it because it was idle. Any other message is sent once: it may have
        arrived.

        Raises NotSent when the message surely did not leave, and NoAnswer for anything else than an answer: a time-out
        after the first byte, a reset, a status other than 200.
        """
        ...
