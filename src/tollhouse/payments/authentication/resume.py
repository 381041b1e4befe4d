"""Going on, or ending, when an authentication is decided.

The claim from `challenged` to `in_flight` is durable and conditional and comes before the acquirer is called: however
many hear of a decision (the RReq, its repetition, the sweep), one goes on and the others find the attempt gone.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog

from tollhouse.kernel import codes
from tollhouse.kernel.card import Card, Cvv
from tollhouse.kernel.errors import InternalError, Refusal
from tollhouse.merchants.store import select_is_merchant_active
from tollhouse.payments import lifecycle
from tollhouse.payments.authentications import build_proof
from tollhouse.payments.authorize import authorize, resolve_seconds
from tollhouse.payments.dependencies import AuthenticationDependencies
from tollhouse.payments.finish import finish_attempt
from tollhouse.payments.model import AttemptState, Payment, PlaintextCard
from tollhouse.payments.steps import FinishRecord
from tollhouse.payments.store import select_payment
from tollhouse.threeds.model import Authentication, AuthenticationState
from tollhouse.threeds.store import lease_due_authentications, update_abandoned, update_concluded
from tollhouse.vault.security_codes import select_security_code

SWEEP_LIMIT = 50
#: Longer than an acquirer may take; a process that died in the middle is followed by the next sweep after it.
SWEEP_LEASE_SECONDS = 120.0

#: The code under which a payment ends when its authentication does not let it go on.
REFUSALS = {
    AuthenticationState.FAILED: codes.AUTHENTICATION_FAILED,
    AuthenticationState.ABANDONED: codes.AUTHENTICATION_ABANDONED,
}

log = structlog.get_logger()


async def conclude(deps: AuthenticationDependencies, authentication: Authentication) -> None:
    """Let the payment follow a decided authentication: on to the acquirer, or to its end.

    Does nothing when the payment has done so already. Raises Unavailable; the sweep then tries again.
    """
    payment = await load_payment(deps, authentication)
    waits = payment.attempt.state is AttemptState.CHALLENGED
    if waits and payment.attempt.number == authentication.attempt_number:
        await _follow(deps, payment, authentication)
    async with deps.database.acquire() as connection:
        await update_concluded(connection, authentication)


async def _follow(deps: AuthenticationDependencies, payment: Payment, authentication: Authentication) -> None:
    code = await _find_refusal(deps, payment, authentication)
    if code is None:
        await resume(deps, payment, authentication)
    else:
        refused = lifecycle.refuse(payment, code, deps.clock.now_of(payment.merchant_id))
        await finish_attempt(deps.finish, payment, refused, erase_code_of=authentication.series_id)


async def _find_refusal(
    deps: AuthenticationDependencies, payment: Payment, authentication: Authentication
) -> str | None:
    """Return the code with which the payment ends, or None if the acquirer is asked.

    A merchant who was disabled during the challenge has no way to an acquirer any more.
    """
    if authentication.state is not AuthenticationState.PASSED:
        return REFUSALS[authentication.state]
    async with deps.database.acquire() as connection:
        is_active = await select_is_merchant_active(connection, payment.merchant_id)
    return None if is_active else codes.NO_ROUTE


async def resume(deps: AuthenticationDependencies, payment: Payment, authentication: Authentication) -> None:
    """Claim a challenged attempt whose cardholder passed and ask the acquirer, unless somebody else has claimed it."""
    instrument = PlaintextCard(open_card(deps, payment), await _open_code(deps, authentication.series_id))
    claimed = lifecycle.move(payment, AttemptState.IN_FLIGHT).with_attempt(
        sent_at=deps.clock.now(), send_before=deps.timeouts.send_before()
    )
    move = FinishRecord(
        claimed,
        expected=AttemptState.CHALLENGED,
        resolve_seconds=resolve_seconds(deps.attempts, payment.attempt.acquirer),
        erase_code_of=authentication.series_id,
    )
    if await deps.finish.lane.submit(move):
        await authorize(deps.attempts, claimed, instrument, proof=build_proof(authentication))


def open_card(deps: AuthenticationDependencies, payment: Payment) -> Card:
    """Open the card that waits with an open attempt. Raises SealBroken."""
    if payment.attempt.card is None:
        raise InternalError("An open attempt has no card.")
    return deps.vault.open_card(
        payment.attempt.card, merchant_id=payment.merchant_id, account_id=payment.source.account_id
    )


async def _open_code(deps: AuthenticationDependencies, holder_id: UUID) -> Cvv | None:
    """Open the security code, which may be gone by now; then it goes without."""
    async with deps.database.acquire() as connection:
        sealed = await select_security_code(connection, holder_id)
    return deps.security_codes.open(sealed, now=deps.clock.now()) if sealed else None


async def load_payment(deps: AuthenticationDependencies, authentication: Authentication) -> Payment:
    """Return the payment that an authentication belongs to, as it stands."""
    async with deps.database.acquire() as connection:
        payment = await select_payment(
            connection, merchant_id=authentication.merchant_id, transaction_id=authentication.transaction_id
        )
    if payment is None:
        raise InternalError("An authentication has no payment.")
    return payment


async def abandon(deps: AuthenticationDependencies, authentication: Authentication) -> bool:
    """End an authentication that nobody will finish, and its payment with 1011; False when it was decided before."""
    async with deps.database.acquire() as connection:
        abandoned = await update_abandoned(connection, authentication)
    if abandoned is None:
        return False
    await conclude(deps, abandoned)
    return True


async def sweep_authentications(deps: AuthenticationDependencies) -> int:
    """Abandon what ran out, and follow decisions that nobody followed; return how many were looked at.

    Any number of processes may sweep: each authentication is leased to one of them.
    """
    async with deps.database.transaction() as connection:
        due = await lease_due_authentications(connection, limit=SWEEP_LIMIT, lease_seconds=SWEEP_LEASE_SECONDS)
    for authentication, offset in due:
        deps.clock.observe_offset(authentication.merchant_id, offset)
    await asyncio.gather(*(_sweep_one(deps, authentication) for authentication, _ in due))
    return len(due)


async def _sweep_one(deps: AuthenticationDependencies, authentication: Authentication) -> None:
    try:
        if authentication.state.is_decided:
            await conclude(deps, authentication)
        else:
            await abandon(deps, authentication)
    except Refusal as error:
        log.warning("authentication.sweep_failed", error=type(error).__name__, **_name(authentication))
    except Exception:
        log.exception("authentication.sweep_failed", **_name(authentication))


def _name(authentication: Authentication) -> dict[str, object]:
    return {
        "authentication_id": str(authentication.authentication_id),
        "transaction_id": authentication.transaction_id,
    }
