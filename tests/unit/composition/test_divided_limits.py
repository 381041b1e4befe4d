"""Limits that are kept in memory, divided among processes that serve together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tollhouse.composition.choices import choose_rates, divide_limits
from tollhouse.composition.settings import Settings


@given(st.integers(1, 64), st.integers(0, 5_000))
def test_shares_add_up_to_the_limit(processes: int, limit: int) -> None:
    """All shares together are at least the limit, exceed it by less than one a process, and no limit stays none."""
    settings = Settings(tokenize_by_address=limit, unknown_keys_by_address=limit, connections_per_address=limit)
    divided = divide_limits(settings, processes)
    for share in (
        choose_rates(divided).by_address,
        divided.unknown_keys_by_address,
        divided.connections_per_address,
    ):
        assert limit <= share * processes < limit + processes
        assert (share == 0) == (limit == 0)


def test_defaults_of_live_are_divided_too() -> None:
    """Limits that live has by default are shared as those that are set."""
    live = Settings(environment="live")
    assert choose_rates(divide_limits(live, 2)).by_address == choose_rates(live).by_address // 2
