"""The transitions of a payment, in any order of outcomes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.payments import CREATED_AT, attempt, payment, source

from tollhouse.acquirers.model import Approved, Declined, NotSent, ReferenceUnknown, Reversed, Unknown
from tollhouse.kernel import codes
from tollhouse.kernel.errors import IllegalTransition
from tollhouse.payments import lifecycle
from tollhouse.payments.model import AttemptState, Payment, Status

LATER = CREATED_AT + timedelta(minutes=1)

#: The published graph, written out a second time: where each outcome leads, and from where.
OPEN = {"in_flight": {"approved", "declined", "not_sent", "unknown", "challenged", "reversed", "reversing"}}
GRAPH = OPEN | {
    "challenged": {"in_flight", "declined"},
    "unknown": {"approved", "declined", "reversed", "reversing"},
    "reversing": {"reversed"},
}

OUTCOMES: dict[str, tuple[Any, str, str | None]] = {
    "approved": (Approved("A1", "N1"), "approved", "0"),
    "declined": (Declined("51", "02"), "declined", "5051"),
    "soft": (Declined("1A"), "declined", "5201"),
    "reversed": (Reversed(), "reversed", "1041"),
    "unknown": (Unknown("silence"), "unknown", None),
    "not sent": (NotSent("refused"), "not_sent", "1040"),
    "not found": (ReferenceUnknown(), "declined", "1040"),
}

Step = Callable[[Payment], Payment]


def outcome_step(name: str) -> tuple[Step, str]:
    """Return a step with an outcome of the acquirer, and the state that follows."""
    outcome, state, _ = OUTCOMES[name]
    return (lambda before: lifecycle.apply(before, outcome, LATER)), state


STEPS: dict[str, tuple[Step, str]] = {name: outcome_step(name) for name in OUTCOMES} | {
    "refused": (lambda before: lifecycle.fail(before, codes.ACCOUNT_DISABLED, LATER), "declined"),
    "challenged": (lambda before: lifecycle.set_attempt_state(before, AttemptState.CHALLENGED), "challenged"),
    "taken back": (lambda before: lifecycle.set_attempt_state(before, AttemptState.REVERSING), "reversing"),
    "resumed": (lambda before: lifecycle.set_attempt_state(before, AttemptState.IN_FLIGHT), "in_flight"),
}


def check(now: Payment) -> None:
    """Check that status, code, time and state of a payment agree."""
    is_open = now.status is Status.PENDING
    assert (now.code is None) is is_open
    assert (now.finished_at is None) is is_open
    assert (now.status is Status.SUCCESS) is (now.code == codes.APPROVED)
    assert (now.attempt.state is AttemptState.APPROVED) is (now.status is Status.SUCCESS)
    assert now.attempt.state.is_final is not is_open


@given(st.lists(st.sampled_from([*STEPS, "next"]), max_size=12))
def test_transitions_follow_the_graph(names: list[str]) -> None:
    """A transition of the graph succeeds, any other raises; a final state stays; all fields agree."""
    now = payment()
    for name in names:
        state = now.attempt.state.value
        if name == "next":
            now = take_next(now)
        elif STEPS[name][1] in GRAPH.get(state, set()):
            now = STEPS[name][0](now)
            assert now.attempt.state == STEPS[name][1]
        else:
            with pytest.raises(IllegalTransition):
                STEPS[name][0](now)
        check(now)


def take_next(now: Payment) -> Payment:
    """Begin a further attempt, which is allowed only if the outcome of the current one is known."""
    if now.attempt.state is not AttemptState.IN_FLIGHT:
        with pytest.raises(IllegalTransition):
            lifecycle.next_attempt(now, acquirer="next", now=LATER, send_before=1.0)
        return now
    following = lifecycle.next_attempt(now, acquirer="next", now=LATER, send_before=1.0)
    assert following.attempt.number == now.attempt.number + 1
    assert following.attempt.reference == f"{now.transaction_id}-{following.attempt.number}"
    assert (following.attempt.card, following.attempt.sent_at) == (now.attempt.card, LATER)
    assert following.attempt.response_code is None
    return following


@pytest.mark.parametrize("name", OUTCOMES)
def test_each_outcome_has_one_state_and_one_code(name: str) -> None:
    """Each outcome of the acquirer leads to one state and one code."""
    outcome, state, code = OUTCOMES[name]
    after = lifecycle.apply(payment(), outcome, LATER)
    assert (after.attempt.state, after.code) == (state, code)


def test_an_unknown_outcome_leaves_the_payment_open() -> None:
    """Without a response the payment stays open, and an approval may still follow."""
    silent = lifecycle.apply(payment(), Unknown("silence"), LATER)
    assert silent.status is Status.PENDING
    assert lifecycle.apply(silent, Approved("A1", "N1"), LATER).status is Status.SUCCESS


def test_a_late_approval_never_revives() -> None:
    """A reversed attempt stays reversed after a late approval."""
    reversed_ = lifecycle.apply(lifecycle.apply(payment(), Unknown("silence"), LATER), Reversed(), LATER)
    with pytest.raises(IllegalTransition):
        lifecycle.apply(reversed_, Approved("A1", "N1"), LATER)
    assert (reversed_.status, reversed_.code) == (Status.FAIL, codes.REVERSED)


def test_the_codes_of_an_outcome_are_kept() -> None:
    """An approval keeps its code and the network transaction ID, a decline the issuer's codes."""
    approved = lifecycle.apply(payment(), Approved("A1", "N1", "85"), LATER)
    assert (approved.attempt.approval_code, approved.attempt.response_code) == ("A1", "85")
    assert (approved.network_transaction_id, approved.finished_at) == ("N1", LATER)
    declined = lifecycle.apply(payment(), Declined("51", "02"), LATER)
    assert (declined.attempt.response_code, declined.attempt.advice_code) == ("51", "02")
    assert declined.network_transaction_id is None


def test_a_payment_is_frozen() -> None:
    """A transition returns another payment and does not change the first."""
    before = payment()
    lifecycle.apply(before, Approved("A1", "N1"), LATER)
    assert before == payment()


@pytest.mark.parametrize(
    ("brand", "response", "soft"),
    [("visa", "1A", True), ("mastercard", "65", True), ("visa", "65", False), ("visa", "05", False)],
)
def test_soft_declines_are_recognized_by_brand(brand: str, response: str, *, soft: bool) -> None:
    """A soft decline is recognized by the code of its own brand, and of no other."""
    asked = payment(source=source(brand=brand))
    assert lifecycle.needs_authentication(asked, Declined(response)) is soft
    assert lifecycle.needs_authentication(asked, Unknown("silence")) is False


@pytest.mark.parametrize("state", AttemptState)
def test_final_states_have_no_transitions(state: AttemptState) -> None:
    """The model calls exactly those states final that have no transitions."""
    assert state.is_final is (state.value not in GRAPH)
    assert {str(after) for after in lifecycle.TRANSITIONS.get(state, ())} == GRAPH.get(state.value, set())
    assert payment(attempt=attempt(state)).attempt.state is state


@given(st.integers(0, 10**18 - 1), st.integers(1, 9999))
def test_a_reference_names_its_transaction(transaction_id: int, number: int) -> None:
    """The transaction ID can be read from the reference of an attempt."""
    assert lifecycle.read_reference(lifecycle.name_attempt(transaction_id, number)) == transaction_id


@pytest.mark.parametrize("reference", ["", "1", "1-", "-1", "1-1-1", "a-1", "1-b", " 1-1", "\u0661-1", "1" * 19 + "-1"])
def test_other_references_have_no_transaction(reference: str) -> None:
    """A text that is not a reference of ours has no transaction ID."""
    assert lifecycle.read_reference(reference) is None
