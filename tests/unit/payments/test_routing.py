"""The choice of an acquirer."""

from __future__ import annotations

import pytest

from tollhouse.payments.routing import Routes, choose_acquirer, find_account


def test_acquirers_come_in_their_order() -> None:
    """The first acquirer is chosen first, each further one once, then none."""
    names = ["a", "b"]
    assert [choose_acquirer(names, after=name) for name in (None, "a", "b", "gone")] == ["a", "b", None, None]
    assert choose_acquirer([]) is None


@pytest.mark.parametrize(
    ("mid", "stage", "live"),
    [("b", "b", "b"), ("shop-eu", "b", "b"), ("123", "a", None), ("9", "a", None), ("nobody", None, None),
     ("١٢", None, None), ("", None, None)],
)  # fmt: skip
def test_named_acquirer_accounts_are_known(mid: str, stage: str | None, live: str | None) -> None:
    """An acquirer's name and a configured account are known; any digits are known in stage only."""
    ways = Routes(("a", "b"), {"shop-eu": "b"})
    assert find_account(mid, ways) == live
    assert find_account(mid, Routes(ways.acquirers, ways.mids, takes_test_mids=True)) == stage


def test_without_acquirers_no_account_is_known() -> None:
    """Without any acquirer no account is known."""
    assert find_account("123", Routes((), takes_test_mids=True)) is None
