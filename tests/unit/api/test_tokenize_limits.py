"""How often `/tokenize` may be called."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.api.tokenize_limits import TokenizeLimits, TokenizeRates
from tollhouse.kernel.card import CardNumber
from tollhouse.kernel.errors import RateLimited
from tollhouse.kernel.limits import RateLimit
from tollhouse.merchants.model import Merchant

ONE, OTHER = CardNumber("4024007179366348"), CardNumber("4111111111111111")
#: Half a minute before each power of two in seconds.
POWERS = [(2**power - 30) * 1_000_000_000 + 123_456_789 for power in range(6, 26)]
MERCHANT = Merchant(1, "A", is_active=True, clock_offset=timedelta(), allowed_networks=(), key_expires_at=None)


def calls(
    limits: TokenizeLimits, *, address: str = "203.0.113.1", number: CardNumber = ONE, merchant: Merchant | None = None
) -> int:
    """Call until it is too much, and return how often that went well."""
    for count in range(50):
        try:
            limits.check(merchant, address=address, card=number)
        except RateLimited as error:
            return count if 1 <= error.retry_after_seconds <= 61 else -1
    return 50


def test_each_limit_by_itself() -> None:
    """Addresses, networks, cards and keys are counted each for itself."""
    assert calls(TokenizeLimits(TokenizeRates(by_address=5))) == 5
    assert calls(TokenizeLimits(TokenizeRates(by_network=6))) == 6
    assert calls(TokenizeLimits(TokenizeRates(by_card=7))) == 7
    assert calls(TokenizeLimits(TokenizeRates(by_key=8)), merchant=MERCHANT) == 8
    assert calls(TokenizeLimits(TokenizeRates())) == 50


def test_a_key_replaces_addresses_and_not_cards() -> None:
    """A shop's server calls for many browsers, but one card is still one card."""
    limits = TokenizeLimits(TokenizeRates(by_address=1, by_network=1, by_card=5, by_key=20))
    assert calls(limits, merchant=MERCHANT) == 5
    assert calls(limits, merchant=MERCHANT, number=OTHER) == 5


def test_others_are_not_held_up() -> None:
    """One caller's calls do not count for another."""
    limits = TokenizeLimits(TokenizeRates(by_address=3))
    assert [calls(limits), calls(limits), calls(limits, address="203.0.113.2")] == [3, 0, 3]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.1", "203.0.113.255", True),
        ("203.0.113.1", "203.0.114.1", False),
        ("203.0.113.1", "::ffff:203.0.113.77", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("nonsense", "nonsense", True),
    ],
)
def test_networks(one: str, other: str, *, same: bool) -> None:
    """Calls of one network count together: a /24 of IPv4, also in the spelling of IPv6, or a /64 of IPv6."""
    limits = TokenizeLimits(TokenizeRates(by_network=1))
    assert calls(limits, address=one) == 1
    assert (calls(limits, address=other) == 0) is same


def test_a_window_without_limit_remembers_nobody() -> None:
    """A limit of 0 is none."""
    window = RateLimit(0)
    for caller in range(1000):
        window.check(caller)
    assert window._full_at_ns == {}  # noqa: SLF001 - memory is what is under test


@given(
    limit=st.integers(1, 100), now_ns=st.integers(0, 2**31).map(lambda ms: ms * 1_000_000 + 1) | st.sampled_from(POWERS)
)
def test_a_new_caller_has_the_whole_limit(limit: int, now_ns: int) -> None:
    """A caller's first calls are never refused, however long the machine has been up, and the next one is."""
    window = RateLimit(limit, clock_ns=lambda: now_ns)
    for _ in range(limit):
        window.check("caller")
    assert window.is_spent("caller")
    with pytest.raises(RateLimited):
        window.check("caller")
