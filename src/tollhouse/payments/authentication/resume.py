"""Continue or end a payment whose authentication is decided.

The change from `challenged` to `in_flight` is durable and conditional, and is committed before the acquirer is called.
Several readers of one decision (the RReq, its repetition, the sweep) may try; one succeeds, and the others find the
attempt changed.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog

from tollhouse.kernel import codes
from tollhouse.kernel.card import Card, Cvv
from tollhouse.kernel.errors import InternalError, Rejection
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

MAX_SWEPT_AUTHENTICATIONS = 50
#: Longer than the time-out of an acquirer. After it the next sweep continues the work of a process that died.
SWEEP_LEASE_SECONDS = 120.0

#: The code with which a payment fails, by the state of its authentication.
FAILURE_CODES = {
    AuthenticationState.FAILED: codes.AUTHENTICATION_FAILED,
    AuthenticationState.ABANDONED: codes.AUTHENTICATION_ABANDONED,
}

log = structlog.get_logger()


async def apply_decision(deps: AuthenticationDependencies, authentication: Authentication) -> None:
    """Continue the payment of a decided authentication: call the acquirer, or finish the payment.

    Does nothing if the payment has continued already. Raises Unavailable; the sweep then tries again.
    """
    payment = await load_payment(deps, authentication)
    waits = payment.attempt.state is AttemptState.CHALLENGED
    if waits and payment.attempt.number == authentication.attempt_number:
        await _continue_or_fail(deps, payment, authentication)
    async with deps.database.acquire() as connection:
        await update_concluded(connection, authentication)


async def _continue_or_fail(deps: AuthenticationDependencies, payment: Payment, authentication: Authentication) -> None:
    code = await _find_failure_code(deps, payment, authentication)
    if code is None:
        await resume(deps, payment, authentication)
    else:
        failed = lifecycle.fail(payment, code, deps.clock.now_of(payment.merchant_id))
        await finish_attempt(deps.finish, payment, failed, erase_code_of=authentication.series_id)


async def _find_failure_code(
    deps: AuthenticationDependencies, payment: Payment, authentication: Authentication
) -> str | None:
    """Return the code with which the payment fails, or None if the acquirer is called.

    A merchant that was disabled during the challenge has no acquirer.
    """
    if authentication.state is not AuthenticationState.PASSED:
        return FAILURE_CODES[authentication.state]
    async with deps.database.acquire() as connection:
        is_active = await select_is_merchant_active(connection, payment.merchant_id)
    return None if is_active else codes.NO_ROUTE


async def resume(deps: AuthenticationDependencies, payment: Payment, authentication: Authentication) -> None:
    """Put a challenged attempt in flight and call the acquirer, unless another process has done so."""
    instrument = PlaintextCard(open_card(deps, payment), await _open_code(deps, authentication.series_id))
    claimed = lifecycle.set_attempt_state(payment, AttemptState.IN_FLIGHT).with_attempt(
        sent_at=deps.clock.now(), send_before=deps.timeouts.send_before()
    )
    move = FinishRecord(
        claimed,
        expected=AttemptState.CHALLENGED,
        resolve_seconds=resolve_seconds(deps.attempts, payment.attempt.acquirer),
        erase_code_of=authentication.series_id,
    )
    if await deps.finish.write_queue.submit(move):
        await authorize(deps.attempts, claimed, instrument, proof=build_proof(authentication))


def open_card(deps: AuthenticationDependencies, payment: Payment) -> Card:
    """Open the sealed card of an open attempt. Raises SealBroken."""
    if payment.attempt.card is None:
        raise InternalError("An open attempt has no card.")
    return deps.vault.open_card(
        payment.attempt.card, merchant_id=payment.merchant_id, account_id=payment.source.account_id
    )


async def _open_code(deps: AuthenticationDependencies, holder_id: UUID) -> Cvv | None:
    """Open the security code; None if it is deleted by now."""
    async with deps.database.acquire() as connection:
        sealed = await select_security_code(connection, holder_id)
    return deps.security_codes.open(sealed, now=deps.clock.now()) if sealed else None


async def load_payment(deps: AuthenticationDependencies, authentication: Authentication) -> Payment:
    """Load the payment of an authentication."""
    async with deps.database.acquire() as connection:
        payment = await select_payment(
            connection, merchant_id=authentication.merchant_id, transaction_id=authentication.transaction_id
        )
    if payment is None:
        raise InternalError("An authentication has no payment.")
    return payment


async def abandon(deps: AuthenticationDependencies, authentication: Authentication) -> bool:
    """End an open authentication, and its payment with 1011; False if it was decided before."""
    async with deps.database.acquire() as connection:
        abandoned = await update_abandoned(connection, authentication)
    if abandoned is None:
        return False
    await apply_decision(deps, abandoned)
    return True


async def sweep_authentications(deps: AuthenticationDependencies) -> int:
    """Abandon expired authentications, and continue decided ones; return how many were processed.

    Several processes may sweep: each authentication is leased to one of them.
    """
    async with deps.database.transaction() as connection:
        due = await lease_due_authentications(
            connection, limit=MAX_SWEPT_AUTHENTICATIONS, lease_seconds=SWEEP_LEASE_SECONDS
        )
    for authentication, offset in due:
        deps.clock.observe_offset(authentication.merchant_id, offset)
    await asyncio.gather(*(_sweep_one(deps, authentication) for authentication, _ in due))
    return len(due)


async def _sweep_one(deps: AuthenticationDependencies, authentication: Authentication) -> None:
    try:
        if authentication.state.is_decided:
            await apply_decision(deps, authentication)
        else:
            await abandon(deps, authentication)
    except Rejection as error:
        log.warning("authentication.sweep_failed", error=type(error).__name__, **_name(authentication))
    except Exception:
        log.exception("authentication.sweep_failed", **_name(authentication))


def _name(authentication: Authentication) -> dict[str, object]:
    return {"authentication_id": str(authentication.authentication_id), "transaction_id": authentication.transaction_id}
