"""Which acquirer is asked."""

from __future__ import annotations

import pytest

from tollhouse.payments.routing import Routes, choose_acquirer, find_account


def test_acquirers_come_in_their_order() -> None:
    """The first is asked first, each further one once, and then there is none."""
    names = ["a", "b"]
    assert [choose_acquirer(names, after=name) for name in (None, "a", "b", "gone")] == ["a", "b", None, None]
    assert choose_acquirer([]) is None


@pytest.mark.parametrize(
    ("mid", "stage", "live"),
    [("b", "b", "b"), ("shop-eu", "b", "b"), ("123", "a", None), ("9", "a", None), ("nobody", None, None),
     ("١٢", None, None), ("", None, None)],
)  # fmt: skip
def test_named_merchant_accounts(mid: str, stage: str | None, live: str | None) -> None:
    """An acquirer's own name and a configured account are known; digits are in stage only."""
    ways = Routes(("a", "b"), {"shop-eu": "b"})
    assert find_account(mid, ways) == live
    assert find_account(mid, Routes(ways.acquirers, ways.mids, takes_test_mids=True)) == stage


def test_no_acquirer_has_no_merchant_account() -> None:
    """Where nobody can be asked, no merchant account is known."""
    assert find_account("123", Routes((), takes_test_mids=True)) is None
