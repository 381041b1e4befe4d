"""Which acquirer gets a payment, and which one next. Pure."""

from __future__ import annotations

from collections.abc import Sequence

#: Stands in an attempt for which there was no acquirer: nobody was asked, and nobody can be.
NO_ACQUIRER = "none"


def choose_acquirer(acquirers: Sequence[str], *, tried: int = 0) -> str | None:
    """Return the acquirer for the next try, or None when every one has been tried.

    They come in the order in which they were configured; `tried` is how many surely never got the payment.
    """
    return acquirers[tried] if tried < len(acquirers) else None
