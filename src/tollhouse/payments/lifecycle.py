"""State transitions of a payment. Pure: a payment and an outcome give the next payment, or an IllegalTransition.

attempt       in_flight ──> approved | declined | not_sent | reversed
              in_flight ──> unknown ──> approved | declined | reversed
              in_flight | unknown ──> reversing ──> reversed
              in_flight ──> challenged ──> in_flight | declined
transaction   pending ──> success | fail, when the attempt is final and none follows
"""

from __future__ import annotations

import re
from datetime import datetime

from msgspec.structs import replace

from tollhouse.acquirers.model import Approved, Declined, NotSent, ReferenceUnknown, Reversed, Unknown
from tollhouse.kernel import codes
from tollhouse.kernel.errors import IllegalTransition
from tollhouse.payments.model import AttemptState, Payment, Status

_REFERENCE = re.compile(r"([0-9]{1,18})-[0-9]{1,4}")

TRANSITIONS: dict[AttemptState, frozenset[AttemptState]] = {
    AttemptState.IN_FLIGHT: frozenset(AttemptState) - {AttemptState.IN_FLIGHT},
    AttemptState.CHALLENGED: frozenset({AttemptState.IN_FLIGHT, AttemptState.DECLINED}),
    AttemptState.UNKNOWN: frozenset(
        {AttemptState.APPROVED, AttemptState.DECLINED, AttemptState.REVERSED, AttemptState.REVERSING}
    ),
    # After a reversal was sent, a late approval changes nothing.
    AttemptState.REVERSING: frozenset({AttemptState.REVERSED}),
}


def apply(
    payment: Payment, outcome: Approved | Declined | Reversed | Unknown | NotSent | ReferenceUnknown, now: datetime
) -> Payment:
    """Return the payment after an outcome of the acquirer. Raises IllegalTransition."""
    match outcome:
        case Approved():
            approved = replace(payment, network_transaction_id=outcome.network_transaction_id)
            approved = approved.with_attempt(response_code=outcome.response_code, approval_code=outcome.approval_code)
            return finish_transaction(approved, AttemptState.APPROVED, codes.APPROVED, now)
        case Declined():
            code = codes.translate_response_code(outcome.response_code, brand=payment.source.brand).code
            return finish_transaction(record_decline(payment, outcome), AttemptState.DECLINED, code, now)
        case NotSent():
            return finish_transaction(payment, AttemptState.NOT_SENT, codes.ACQUIRER_UNREACHABLE, now)
        case ReferenceUnknown():
            return finish_transaction(payment, AttemptState.DECLINED, codes.ACQUIRER_UNREACHABLE, now)
        case Reversed():
            return finish_transaction(payment, AttemptState.REVERSED, codes.REVERSED, now)
        case Unknown():
            return set_attempt_state(payment, AttemptState.UNKNOWN)


def finish_transaction(payment: Payment, state: AttemptState, code: str, now: datetime) -> Payment:
    """Return the payment with its attempt final and its transaction finished with a code."""
    status = Status.SUCCESS if code == codes.APPROVED else Status.FAIL
    return replace(set_attempt_state(payment, state), status=status, code=code, finished_at=now)


def fail(payment: Payment, code: str, now: datetime) -> Payment:
    """Return the payment as blocked by our own rules: the acquirer was not called, or is not called again."""
    return finish_transaction(payment, AttemptState.DECLINED, code, now)


def set_attempt_state(payment: Payment, state: AttemptState) -> Payment:
    """Return the payment with its attempt in another state. Raises IllegalTransition."""
    if state not in TRANSITIONS.get(payment.attempt.state, frozenset()):
        raise IllegalTransition(f"An attempt that is {payment.attempt.state} cannot become {state}.")
    return payment.with_attempt(state=state)


def next_attempt(
    payment: Payment, *, acquirer: str, now: datetime, send_before: float, state: AttemptState = AttemptState.IN_FLIGHT
) -> Payment:
    """Return the payment with a further attempt, which has a reference of its own.

    Only an attempt with a known outcome is followed by another. Raises IllegalTransition for an unknown outcome: no
    second reference is sent while the first may have taken the money.
    """
    if payment.attempt.state is not AttemptState.IN_FLIGHT:
        raise IllegalTransition(f"An attempt that is {payment.attempt.state} is not followed by another.")
    number = payment.attempt.number + 1
    fresh = replace(
        payment.attempt,
        number=number,
        acquirer=acquirer,
        reference=name_attempt(payment.transaction_id, number),
        state=state,
        sent_at=now,
        send_before=send_before,
        answered_at=None,
        inquiries=0,
        response_code=None,
        advice_code=None,
        approval_code=None,
    )
    return replace(payment, attempt=fresh)


def name_attempt(transaction_id: int, number: int) -> str:
    """Return the permanent reference of an attempt at its acquirer."""
    return f"{transaction_id}-{number}"


def read_reference(reference: str) -> int | None:
    """Return the transaction ID in the reference of an attempt, or None for any other text."""
    match = _REFERENCE.fullmatch(reference)
    return int(match[1]) if match else None


def record_decline(payment: Payment, outcome: object) -> Payment:
    """Return the payment with the issuer's response codes of a decline."""
    if not isinstance(outcome, Declined):
        return payment
    return payment.with_attempt(response_code=outcome.response_code, advice_code=outcome.advice_code)


def needs_authentication(payment: Payment, outcome: object) -> bool:
    """Return whether the issuer declines only until the cardholder is authenticated (a soft decline)."""
    return (
        isinstance(outcome, Declined)
        and codes.translate_response_code(outcome.response_code, brand=payment.source.brand).code == codes.SOFT_DECLINE
    )
