"""Risk facts, velocity limits, and the decision whether the acquirer is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tollhouse.kernel import codes

#: The subject of a count: the consumer, the card by its fingerprint, or the address.
Kind = Literal["consumer", "card", "address"]


@dataclass(frozen=True, slots=True)
class Count:
    """The number of a subject's payments in the window before this one, and the number of declined ones."""

    attempts: int = 0
    declines: int = 0


@dataclass(frozen=True, slots=True)
class RiskFacts:
    """The risk facts of a payment, collected when it begins."""

    is_blacklisted: bool = False
    is_whitelisted: bool = False
    #: Subjects that are missing were not counted.
    counts: Mapping[Kind, Count] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VelocityLimit:
    """The maximum of attempts and of declines in a window; 0 is no limit."""

    attempts: int = 0
    declines: int = 0


@dataclass(frozen=True, slots=True)
class VelocityLimits:
    """The velocity limits of a deployment. Each applies independently."""

    window_seconds: float = 3_600.0
    consumer: VelocityLimit = VelocityLimit()
    card: VelocityLimit = VelocityLimit()
    address: VelocityLimit = VelocityLimit()

    @property
    def by_kind(self) -> Mapping[Kind, VelocityLimit]:
        """The limits by subject."""
        return {"consumer": self.consumer, "card": self.card, "address": self.address}

    @property
    def max_count(self) -> int:
        """The largest limit. Counting beyond it changes nothing."""
        return max(max(limit.attempts, limit.declines) for limit in self.by_kind.values())

    @property
    def is_set(self) -> bool:
        """Whether anything is limited."""
        return self.max_count > 0


NO_LIMITS = VelocityLimits()


def assess(facts: RiskFacts, limits: VelocityLimits) -> str | None:
    """Return the payment code that blocks a payment, or None.

    A blacklisted consumer is always blocked. Velocity limits do not apply to a whitelisted one.
    """
    if facts.is_blacklisted:
        return codes.BLACKLISTED
    if facts.is_whitelisted:
        return None
    reached = (_is_reached(facts.counts.get(kind, Count()), limit) for kind, limit in limits.by_kind.items())
    return codes.VELOCITY if any(reached) else None


def _is_reached(count: Count, limit: VelocityLimit) -> bool:
    """Return whether the limit was reached before, so that this payment exceeds it."""
    return 0 < limit.attempts <= count.attempts or 0 < limit.declines <= count.declines
