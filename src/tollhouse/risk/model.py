"""What is known about who pays, and how much of it is too much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: What is counted: the consumer, the card by its fingerprint, the address.
Kind = Literal["consumer", "card", "address"]


@dataclass(frozen=True, slots=True)
class Count:
    """How often something paid within the window before this payment, and how often the issuer declined it."""

    attempts: int = 0
    declines: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What payments found out when the intention of one was written."""

    is_blacklisted: bool = False
    is_whitelisted: bool = False
    #: What is not here was not counted.
    counts: Mapping[Kind, Count] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limit:
    """How many attempts and how many declines there may be in a window; 0 is no limit."""

    attempts: int = 0
    declines: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """The velocity limits of a deployment, each by itself."""

    window_seconds: float = 3_600.0
    consumer: Limit = Limit()
    card: Limit = Limit()
    address: Limit = Limit()

    @property
    def by_kind(self) -> Mapping[Kind, Limit]:
        """The limits by what they count."""
        return {"consumer": self.consumer, "card": self.card, "address": self.address}

    @property
    def most(self) -> int:
        """The largest of them: counting further than that changes nothing."""
        return max(max(limit.attempts, limit.declines) for limit in self.by_kind.values())

    @property
    def is_set(self) -> bool:
        """Whether anything is limited."""
        return self.most > 0


NO_LIMITS = Limits()
