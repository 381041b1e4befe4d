"""The seam to an outside party: send some bytes, get some back, and say what is known when that fails."""

from __future__ import annotations

from typing import Protocol

from tollhouse.kernel.errors import TollhouseError


class NotSent(TollhouseError):
    """The message surely did not leave: the connection was refused or never made."""


class NoAnswer(TollhouseError):
    """The message may have arrived, and no answer came back."""


class Transport(Protocol):
    """A way to one outside party."""

    async def post(self, path: str, body: bytes, *, timeout_seconds: float) -> bytes:
        """Send a JSON body and return the body of the answer.

        Raises NotSent when the message surely did not leave, and NoAnswer for anything else than an answer: a time-out
        after the first byte, a reset, a status other than 200.
        """
        ...
