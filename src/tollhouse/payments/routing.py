"""Which acquirer gets a payment, and which one next. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import dropwhile

#: Stands in an attempt for which there was no acquirer: nobody was asked, and nobody can be.
NO_ACQUIRER = "none"


def choose_acquirer(acquirers: Sequence[str], *, after: str | None = None) -> str | None:
    """Return the acquirer for the next try, or None when there is none left.

    They come in the order in which they were configured; `after` is the one that surely never got the payment.
    """
    if after is None:
        return acquirers[0] if acquirers else None
    left = list(dropwhile(lambda name: name != after, acquirers))
    return left[1] if len(left) > 1 else None
