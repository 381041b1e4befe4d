"""Send an authorization to the acquirer. No database connection is held meanwhile.

An approval of part of the amount is reversed, because the merchant requested all of it.
"""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from tollhouse.acquirers.model import (
    PARTIAL,
    Acquirer,
    Answer,
    Approved,
    Authorization,
    Declined,
    Finding,
    NotSent,
    Proof,
    Reversed,
    Unknown,
)
from tollhouse.kernel.money import Money
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.payments import lifecycle
from tollhouse.payments.dependencies import AttemptDependencies
from tollhouse.payments.finish import finish_attempt
from tollhouse.payments.model import AttemptState, Mode, Payment, PlaintextCard
from tollhouse.payments.routing import choose_acquirer
from tollhouse.payments.steps import FinishRecord

Outcome = TypeVar("Outcome", bound="Answer | Finding")


async def authorize(
    deps: AttemptDependencies,
    payment: Payment,
    instrument: PlaintextCard,
    *,
    proof: Proof | None = None,
    erase_code_of: UUID | None = None,
) -> RenderedResponse:
    """Authorize a payment whose begin is committed, and finish it with the outcome."""
    payment, outcome = await send_authorization(deps, payment, instrument, proof=proof)
    after = lifecycle.apply(payment, outcome, deps.clock.now_of(payment.merchant_id))
    return await finish_attempt(deps.finish, payment, after, erase_code_of=erase_code_of)


async def send_authorization(
    deps: AttemptDependencies, payment: Payment, instrument: PlaintextCard, *, proof: Proof | None = None
) -> tuple[Payment, Answer]:
    """Send the authorization; if it was certainly not sent, try the next acquirer.

    Returns the payment with the attempt that got the outcome, and the outcome.
    """
    outcome = await _send_to_acquirer(deps, payment, instrument, proof)
    while isinstance(outcome, NotSent):
        following = await _open_next_attempt(deps, payment)
        if following is None:
            break
        payment, outcome = following, await _send_to_acquirer(deps, following, instrument, proof)
    return payment, outcome


async def _send_to_acquirer(
    deps: AttemptDependencies, payment: Payment, instrument: PlaintextCard, proof: Proof | None
) -> Answer:
    acquirer = deps.acquirers[payment.attempt.acquirer]
    outcome = await acquirer.authorize(build_authorization(payment, instrument, proof))
    return await reverse_partial_approval(acquirer, payment.attempt.reference, payment.money, outcome)


def build_authorization(payment: Payment, instrument: PlaintextCard, proof: Proof | None) -> Authorization:
    """Build the request to the acquirer. Merchant-initiated charges carry no security code."""
    return Authorization(
        reference=payment.attempt.reference,
        money=payment.money,
        card=instrument.card,
        cvv=instrument.code if payment.initiator == "customer" else None,
        capture=payment.mode is Mode.SALE,
        initiator=payment.initiator,
        reason=payment.reason,
        descriptor=payment.descriptor,
        network_transaction_id=payment.network_transaction_id,
        proof=proof,
        consumer_ip=payment.consumer_ip,
        emulate_code=payment.emulate_code,
        acceptor=str(payment.merchant_id),
        transacted_at=payment.created_at,
        send_before=payment.attempt.send_before,
        mid=payment.mid,
        exemption=_choose_exemption(payment, proof),
    )


def _choose_exemption(payment: Payment, proof: Proof | None) -> str | None:
    """Return the exemption that the request claims, unless our own authentication of the cardholder succeeded."""
    is_authenticated, external = proof is not None and not proof.is_external, payment.external_authentication
    return external.exemption if external and not is_authenticated else None


async def _open_next_attempt(deps: AttemptDependencies, payment: Payment) -> Payment | None:
    """Close an attempt that was certainly not sent and commit the next one; None if no acquirer is left."""
    acquirer = choose_acquirer(list(deps.acquirers), after=payment.attempt.acquirer)
    if acquirer is None or payment.mid is not None:  # the request named one merchant account and no other
        return None
    following = lifecycle.next_attempt(
        payment, acquirer=acquirer, now=deps.clock.now(), send_before=deps.timeouts.send_before()
    )
    move = FinishRecord(
        lifecycle.set_attempt_state(payment, AttemptState.NOT_SENT),
        expected=payment.attempt.state,
        following=following,
        following_resolve_seconds=resolve_seconds(deps, acquirer),
    )
    return following if await deps.finish.write_queue.submit(move) else None


def resolve_seconds(deps: AttemptDependencies, acquirer: str) -> float:
    """Return the seconds until the resolver may query an attempt that begins now: time to send plus time-out."""
    known = deps.acquirers.get(acquirer)
    return (known.timeout_seconds if known else 0.0) + deps.timeouts.margin


async def reverse_partial_approval(
    acquirer: Acquirer, reference: str, money: Money, outcome: Outcome
) -> Outcome | Declined | Unknown:
    """Reverse an approval of part of the amount and return a decline; unknown while it is not acknowledged.

    Every other outcome is returned as it is.
    """
    if not (isinstance(outcome, Approved) and outcome.response_code == PARTIAL):
        return outcome
    if isinstance(await acquirer.reverse(reference, money), Reversed):
        return Declined(PARTIAL)
    return Unknown("a partial approval was not taken back yet")
