"""Deciding by what is known whether the acquirer is asked at all (behaviour, section 3). Pure."""

from __future__ import annotations

from tollhouse.kernel import codes
from tollhouse.risk.model import Count, Facts, Limit, Limits


def assess(facts: Facts, limits: Limits) -> str | None:
    """Return the payment code with which a payment is refused, or None.

    A consumer on the blacklist never pays; one on the whitelist is not counted against the velocity limits.
    """
    if facts.is_blacklisted:
        return codes.BLACKLISTED
    if facts.is_whitelisted:
        return None
    reached = (_is_reached(facts.counts.get(kind, Count()), limit) for kind, limit in limits.by_kind.items())
    return codes.VELOCITY if any(reached) else None


def _is_reached(count: Count, limit: Limit) -> bool:
    """Tell whether as many as may be have been before, so that this one is one too many."""
    return 0 < limit.attempts <= count.attempts or 0 < limit.declines <= count.declines
