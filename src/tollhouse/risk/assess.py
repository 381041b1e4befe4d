"""Decide from known facts whether the acquirer is called (behavior, section 3)."""

from __future__ import annotations

from tollhouse.kernel import codes
from tollhouse.risk.model import Count, RiskFacts, VelocityLimit, VelocityLimits


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
