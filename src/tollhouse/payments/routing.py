"""Which acquirer gets a payment, and which one next. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import dropwhile

#: Stands in an attempt for which there was no acquirer: nobody was asked, and nobody can be.
NO_ACQUIRER = "none"


@dataclass(frozen=True, slots=True)
class Routes:
    """The ways to an acquirer, in the order in which they are tried.

    `mids` are the merchant accounts that a request may name, with their acquirers; an acquirer's own name is one too.
    In stage any digits are one (`takes_test_mids`), as the examples of client libraries have them.
    """

    acquirers: tuple[str, ...]
    mids: Mapping[str, str] = field(default_factory=dict)
    takes_test_mids: bool = False


def find_account(mid: str, routes: Routes) -> str | None:
    """Return the acquirer of the merchant account that a request names, or None when there is no such account."""
    if mid in routes.acquirers:
        return mid
    if mid in routes.mids:
        return routes.mids[mid]
    is_test = routes.takes_test_mids and mid.isascii() and mid.isdigit()
    return choose_acquirer(routes.acquirers) if is_test else None


def choose_acquirer(acquirers: Sequence[str], *, after: str | None = None) -> str | None:
    """Return the acquirer for the next try, or None when there is none left.

    They come in the order in which they were configured; `after` is the one that surely never got the payment.
    """
    if after is None:
        return acquirers[0] if acquirers else None
    left = list(dropwhile(lambda name: name != after, acquirers))
    return left[1] if len(left) > 1 else None
