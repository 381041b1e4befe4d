"""The next state after each status."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tollhouse.threeds.lifecycle import TRANSITIONS, find_next_state, find_state_after_challenge, list_origins
from tollhouse.threeds.model import AuthenticationState, ChallengeResult, TransStatus


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("Y", "passed"),
        ("A", "passed"),
        ("I", "passed"),
        ("N", "failed"),
        ("R", "failed"),
        ("C", "challenged"),
        ("D", "challenged"),
    ],
)
@pytest.mark.parametrize("goes_on", [True, False])
def test_site_policy_decides_only_unavailable(status: str, state: str, *, goes_on: bool) -> None:
    """No policy of a site changes the issuer's decision."""
    assert find_next_state(TransStatus(status), proceed_without_3ds=goes_on) == state


@pytest.mark.parametrize(("goes_on", "state"), [(True, "passed"), (False, "failed")])
def test_unavailable_is_left_to_the_site(state: str, *, goes_on: bool) -> None:
    """Only U, which says nothing, is a matter of policy."""
    assert find_next_state(TransStatus.UNAVAILABLE, proceed_without_3ds=goes_on) == state


@pytest.mark.parametrize(
    ("status", "cancel", "state"),
    [
        ("N", None, "failed"),
        ("N", "01", "failed"),
        ("N", "02", "failed"),
        ("N", "03", "abandoned"),
        ("N", "04", "abandoned"),
        ("N", "05", "lapsed"),
        ("U", "05", "lapsed"),
        ("N", "06", "failed"),
        ("N", "08", "abandoned"),
        ("Y", "04", "passed"),
        ("A", "05", "passed"),
    ],
)
def test_absent_cardholder_has_not_failed(status: str, cancel: str | None, state: str) -> None:
    """An absent cardholder has not failed, and may return if the challenge was never opened; a proof is a proof."""
    result = ChallengeResult("2.2.0", uuid4(), uuid4(), uuid4(), TransStatus(status), None, None, None, cancel)
    assert find_state_after_challenge(result, proceed_without_3ds=True) == state


def test_decided_states_are_final() -> None:
    """No transition leads out of passed, failed, abandoned and superseded."""
    final = {
        AuthenticationState.PASSED,
        AuthenticationState.FAILED,
        AuthenticationState.ABANDONED,
        AuthenticationState.SUPERSEDED,
    }
    assert final == set(AuthenticationState) - set(TRANSITIONS)
    assert all(AuthenticationState.SUPERSEDED is state or state.is_decided for state in final)


def test_origins_turn_the_transitions_around() -> None:
    """A conditional update expects exactly the states from which the new one can be reached."""
    assert set(list_origins(AuthenticationState.ABANDONED)) == set(TRANSITIONS)
    assert list_origins(AuthenticationState.REQUESTED) == [AuthenticationState.COLLECTING]
    assert list_origins(AuthenticationState.COLLECTING) == []
