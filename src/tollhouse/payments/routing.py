"""Choose the acquirer of a payment, and the next one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import dropwhile

#: The acquirer of an attempt for which no acquirer was found. It cannot be called.
NO_ACQUIRER = "none"


@dataclass(frozen=True, slots=True)
class Routes:
    """The acquirers in the order in which they are tried, and the acquirer accounts.

    `mids` maps the acquirer accounts that a request may name to their acquirers; the name of an acquirer is one too. In
    stage any digits are accepted (`takes_test_mids`), as in the examples of client libraries.
    """

    acquirers: tuple[str, ...]
    mids: Mapping[str, str] = field(default_factory=dict)
    takes_test_mids: bool = False


def find_account(mid: str, routes: Routes) -> str | None:
    """Return the acquirer of the account that a request names, or None if the account is unknown."""
    if mid in routes.acquirers:
        return mid
    if mid in routes.mids:
        return routes.mids[mid]
    is_test = routes.takes_test_mids and mid.isascii() and mid.isdigit()
    return choose_acquirer(routes.acquirers) if is_test else None


def choose_acquirer(acquirers: Sequence[str], *, after: str | None = None) -> str | None:
    """Return the acquirer of the next attempt, or None if none is left.

    Acquirers come in configured order; `after` is the one that certainly did not get the payment.
    """
    if after is None:
        return acquirers[0] if acquirers else None
    left = list(dropwhile(lambda name: name != after, acquirers))
    return left[1] if len(left) > 1 else None
