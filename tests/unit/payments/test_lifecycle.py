"""How a payment moves, whatever happens to it in whatever order."""

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
    """Return a step in which the acquirer answers, and the state it leads to."""
    outcome, state, _ = OUTCOMES[name]
    return (lambda before: lifecycle.apply(before, outcome, LATER)), state


STEPS: dict[str, tuple[Step, str]] = {name: outcome_step(name) for name in OUTCOMES} | {
    "refused": (lambda before: lifecycle.fail(before, codes.ACCOUNT_DISABLED, LATER), "declined"),
    "challenged": (lambda before: lifecycle.set_attempt_state(before, AttemptState.CHALLENGED), "challenged"),
    "taken back": (lambda before: lifecycle.set_attempt_state(before, AttemptState.REVERSING), "reversing"),
    "resumed": (lambda before: lifecycle.set_attempt_state(before, AttemptState.IN_FLIGHT), "in_flight"),
}


def check(now: Payment) -> None:
    """Hold status, code, time and state of a payment against each other."""
    is_open = now.status is Status.PENDING
    assert (now.code is None) is is_open
    assert (now.settled_at is None) is is_open
    assert (now.status is Status.SUCCESS) is (now.code == codes.APPROVED)
    assert (now.attempt.state is AttemptState.APPROVED) is (now.status is Status.SUCCESS)
    assert now.attempt.state.is_final is not is_open


@given(st.lists(st.sampled_from([*STEPS, "next"]), max_size=12))
def test_whatever_happens_in_whatever_order(names: list[str]) -> None:
    """A step that the graph has is taken, any other raises and changes nothing; final is final; all fits together."""
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
    """Ask for a further attempt, which only one that has its answer at hand may have."""
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
def test_what_each_answer_means(name: str) -> None:
    """Each answer of the acquirer has one state and one code."""
    outcome, state, code = OUTCOMES[name]
    after = lifecycle.apply(payment(), outcome, LATER)
    assert (after.attempt.state, after.code) == (state, code)


def test_only_an_explicit_answer_decides() -> None:
    """After silence the payment is as open as before, and an approval may still come."""
    silent = lifecycle.apply(payment(), Unknown("silence"), LATER)
    assert silent.status is Status.PENDING
    assert lifecycle.apply(silent, Approved("A1", "N1"), LATER).status is Status.SUCCESS


def test_a_late_approval_never_revives() -> None:
    """What was reversed stays reversed."""
    reversed_ = lifecycle.apply(lifecycle.apply(payment(), Unknown("silence"), LATER), Reversed(), LATER)
    with pytest.raises(IllegalTransition):
        lifecycle.apply(reversed_, Approved("A1", "N1"), LATER)
    assert (reversed_.status, reversed_.code) == (Status.FAIL, codes.REVERSED)


def test_an_approval_is_noted() -> None:
    """An approval brings its code and the agreement's id, and a decline what the issuer said."""
    approved = lifecycle.apply(payment(), Approved("A1", "N1", "85"), LATER)
    assert (approved.attempt.approval_code, approved.attempt.response_code) == ("A1", "85")
    assert (approved.network_transaction_id, approved.settled_at) == ("N1", LATER)
    declined = lifecycle.apply(payment(), Declined("51", "02"), LATER)
    assert (declined.attempt.response_code, declined.attempt.advice_code) == ("51", "02")
    assert declined.network_transaction_id is None


def test_nothing_was_changed_in_place() -> None:
    """A payment is frozen: what moves is the next one."""
    before = payment()
    lifecycle.apply(before, Approved("A1", "N1"), LATER)
    assert before == payment()


@pytest.mark.parametrize(
    ("brand", "response", "soft"),
    [("visa", "1A", True), ("mastercard", "65", True), ("visa", "65", False), ("visa", "05", False)],
)
def test_soft_declines(brand: str, response: str, *, soft: bool) -> None:
    """A brand's own way to ask for authentication is understood, and nobody else's."""
    asked = payment(source=source(brand=brand))
    assert lifecycle.needs_authentication(asked, Declined(response)) is soft
    assert lifecycle.needs_authentication(asked, Unknown("silence")) is False


@pytest.mark.parametrize("state", AttemptState)
def test_final_states_have_no_way_out(state: AttemptState) -> None:
    """A state is final where the graph ends, in the model as in the rules."""
    assert state.is_final is (state.value not in GRAPH)
    assert {str(after) for after in lifecycle.TRANSITIONS.get(state, ())} == GRAPH.get(state.value, set())
    assert payment(attempt=attempt(state)).attempt.state is state


@given(st.integers(0, 10**18 - 1), st.integers(1, 9999))
def test_a_reference_names_its_transaction(transaction_id: int, number: int) -> None:
    """What names an attempt leads back to its transaction."""
    assert lifecycle.read_reference(lifecycle.name_attempt(transaction_id, number)) == transaction_id


@pytest.mark.parametrize("reference", ["", "1", "1-", "-1", "1-1-1", "a-1", "1-b", " 1-1", "\u0661-1", "1" * 19 + "-1"])
def test_other_references_name_nothing(reference: str) -> None:
    """What no attempt of ours was named leads to no transaction."""
    assert lifecycle.read_reference(reference) is None
