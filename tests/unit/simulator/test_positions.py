"""Effects of captures, voids and refunds on an authorization: no amount appears or is lost."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tollhouse.simulator.cards import published_cards
from tollhouse.simulator.issuing.positions import BalanceChange, CardBalance, carry_out, choose_response_code, undo
from tollhouse.simulator.model import OperationKind, OperationMessage

AUTHORIZATION = CardBalance(
    "r", "authorization", "400000****0000", "visa", "1", "USD", 1000, 0, 0, 0, is_live=True, is_voided=False
)

kinds: st.SearchStrategy[OperationKind] = st.sampled_from(("capture", "void", "credit"))
#: None is an amount too: all that there is.
amounts = st.none() | st.integers(0, 1200)
steps = st.lists(st.tuples(kinds, amounts, st.booleans()), max_size=12)


def operation(
    kind: OperationKind, amount_minor: int, currency: str = "USD", emulate: str | None = None
) -> OperationMessage:
    """Build an operation on r."""
    return OperationMessage(kind, "o", "r", amount_minor, currency, emulate)


def moved(position: CardBalance, move: BalanceChange) -> CardBalance:
    """Apply a move as the database does."""
    return replace(
        position,
        captured_minor=position.captured_minor + move.captured_minor,
        released_minor=position.released_minor + move.released_minor,
        credited_minor=position.credited_minor + move.credited_minor,
        is_voided=move.is_voided,
        is_live=not move.is_voided,
    )


@given(st.sampled_from(("sale", "authorization")), steps)
def test_parts_sum_to_the_amount(kind: str, history: list[tuple[OperationKind, int | None, bool]]) -> None:
    """After any operations and reversals, held, captured and returned amounts sum to the total, none below zero."""
    position, returned = replace(AUTHORIZATION, kind=kind), 0
    for verb, asked, is_undone in history:
        amount = position.held_minor + position.taken_minor if asked is None else asked
        if choose_response_code(operation(verb, amount), position, None) != "00":
            continue
        move = carry_out(operation(verb, amount), position)
        position, returned = moved(position, move), returned + move.returned_minor
        if is_undone:
            move = undo(verb, amount, position)
            position, returned = moved(position, move), returned + move.returned_minor

        assert position.held_minor + position.taken_minor + returned == 1000
        assert min(position.held_minor, position.taken_minor, returned) >= 0


def test_impossible_operation_is_declined() -> None:
    """Impossible operations are declined: unknown 25, ended or of another currency 12, too much or nothing 13."""
    dead = replace(AUTHORIZATION, is_live=False)
    captured = replace(AUTHORIZATION, captured_minor=400, released_minor=600)
    credited = replace(captured, credited_minor=100)

    assert choose_response_code(operation("capture", 1), None, None) == "25"
    assert choose_response_code(operation("credit", 1), dead, None) == "12"
    assert choose_response_code(operation("capture", 1, "EUR"), AUTHORIZATION, None) == "12"
    assert choose_response_code(operation("capture", 1001), AUTHORIZATION, None) == "13"
    assert choose_response_code(operation("capture", 0), AUTHORIZATION, None) == "13"
    assert choose_response_code(operation("capture", 1), captured, None) == "13"
    assert choose_response_code(operation("credit", 1), AUTHORIZATION, None) == "13"
    assert choose_response_code(operation("credit", 301), credited, None) == "13"
    assert choose_response_code(operation("void", 999), AUTHORIZATION, None) == "13"
    assert choose_response_code(operation("void", 300), credited, None) == "12"


def test_the_card_and_the_request_come_first() -> None:
    """A card that declines one kind leaves others alone; an emulated approval passes the card, and has to fit."""
    card = published_cards()["capture_declined"]

    assert choose_response_code(operation("capture", 1), AUTHORIZATION, card) == "57"
    assert choose_response_code(operation("void", 1000), AUTHORIZATION, card) == "00"
    assert choose_response_code(operation("capture", 1, emulate="0000"), AUTHORIZATION, card) == "00"
    assert choose_response_code(operation("capture", 1001, emulate="0000"), AUTHORIZATION, card) == "13"
    assert choose_response_code(operation("capture", 1, emulate="5051"), AUTHORIZATION, None) == "51"
    assert (
        choose_response_code(
            operation("credit", 205100),
            replace(AUTHORIZATION, amount_minor=300000, kind="sale"),
            published_cards()["amount"],
        )
        == "51"
    )
