"""Payments that are blocked before the acquirer is called."""

from __future__ import annotations

import pytest

from tollhouse.kernel import codes
from tollhouse.risk.assess import NO_LIMITS, Count, Kind, RiskFacts, VelocityLimit, VelocityLimits, assess

TIGHT = VelocityLimits(consumer=VelocityLimit(3, 2), card=VelocityLimit(3, 2), address=VelocityLimit(3, 2))
KINDS: tuple[Kind, ...] = ("consumer", "card", "address")


@pytest.mark.parametrize("limits", [NO_LIMITS, TIGHT])
def test_the_blacklist_is_refused(limits: VelocityLimits) -> None:
    """A consumer on the blacklist is refused as such, whatever else is known and limited."""
    facts = RiskFacts(is_blacklisted=True, counts={"card": Count(99, 99)})
    assert assess(facts, limits) == codes.BLACKLISTED


def test_the_whitelist_is_not_counted() -> None:
    """A consumer on the whitelist may pay as often as it likes."""
    assert assess(RiskFacts(is_whitelisted=True, counts={"consumer": Count(99, 99)}), TIGHT) is None


def test_without_limits_all_may_pay() -> None:
    """A limit of 0 is none."""
    assert assess(RiskFacts(counts={"consumer": Count(99, 99), "address": Count(99, 99)}), NO_LIMITS) is None
    assert not NO_LIMITS.is_set


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("count", "code"),
    [
        (Count(0, 0), None),
        (Count(2, 1), None),
        (Count(3, 0), codes.VELOCITY),
        (Count(0, 2), codes.VELOCITY),
        (Count(9, 9), codes.VELOCITY),
    ],
)
def test_limits_at_their_edges(kind: Kind, count: Count, code: str | None) -> None:
    """As many as the limit says may pay, and the next one not; each kind by itself."""
    assert assess(RiskFacts(counts={kind: count}), TIGHT) == code


@pytest.mark.parametrize("kind", KINDS)
def test_one_limit_alone(kind: Kind) -> None:
    """A limit on one thing limits no other, and attempts are no declines."""
    limits = VelocityLimits(**{kind: VelocityLimit(attempts=3)})  # type: ignore[arg-type]  # not the window
    assert (limits.is_set, limits.max_count) == (True, 3)
    others = {other: Count(99, 99) for other in KINDS if other != kind}
    assert assess(RiskFacts(counts=others | {kind: Count(2, 99)}), limits) is None
