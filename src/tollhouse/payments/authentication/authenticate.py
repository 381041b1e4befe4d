"""Start the authentication of a cardholder, before the acquirer is called or after a soft decline.

If the browser is known and the card range has no 3DS Method, the AReq is sent within the request, so that a
frictionless payment ends there. Otherwise the cardholder is redirected to our page.
"""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from tollhouse.kernel import codes
from tollhouse.kernel.rendered_response import CREATED, RenderedResponse
from tollhouse.payments import lifecycle
from tollhouse.payments.authentication.proofs import send_areq
from tollhouse.payments.authentications import (
    build_areq,
    build_proof,
    draft_authentication,
    page_url,
    record_response_in_draft,
)
from tollhouse.payments.authorize import authorize, resolve_seconds
from tollhouse.payments.dependencies import AuthenticationDependencies
from tollhouse.payments.finish import finish_attempt, load_stored_response
from tollhouse.payments.model import AttemptState, Payment, PlaintextCard
from tollhouse.payments.reading.view import render_response
from tollhouse.payments.steps import FinishRecord
from tollhouse.threeds.lifecycle import find_next_state
from tollhouse.threeds.model import Authentication, AuthenticationState, BrowserData
from tollhouse.threeds.store import insert_authentications
from tollhouse.vault.security_codes import CODE_LIFE, SealedCode


async def demand_authentication(
    deps: AuthenticationDependencies,
    payment: Payment,
    instrument: PlaintextCard,
    *,
    browser: BrowserData | None,
    after_soft_decline: bool,
) -> RenderedResponse:
    """Authenticate the cardholder of an attempt in flight; return the outcome or a redirect.

    After a soft decline that attempt is closed, and a further one opened that carries the proof.
    """
    card_range = await deps.directory.find_range(instrument.card.number)
    asked = payment
    if after_soft_decline:
        payment = lifecycle.next_attempt(
            asked, acquirer=asked.attempt.acquirer, now=deps.clock.now(), send_before=deps.timeouts.send_before()
        )
    draft = draft_authentication(deps, payment, card_range, after_soft_decline=after_soft_decline)
    if browser is None or card_range.method_url is not None:
        return await _redirect_to_page(deps, asked, payment, instrument, draft)
    if after_soft_decline and not await _open_attempt(deps, asked, payment):
        return await load_stored_response(deps.finish, asked)
    return await _send_areq(deps, payment, instrument, draft, browser=browser)


async def _open_attempt(deps: AuthenticationDependencies, asked: Payment, payment: Payment) -> bool:
    """Close the attempt with the soft decline and commit the next one; False if it was finished otherwise."""
    seconds = resolve_seconds(deps.attempts, payment.attempt.acquirer) + deps.directory.timeout_seconds
    record = FinishRecord(
        lifecycle.set_attempt_state(asked, AttemptState.DECLINED),
        expected=asked.attempt.state,
        following=payment,
        following_resolve_seconds=seconds,
    )
    return await deps.finish.write_queue.submit(record) is True


async def _send_areq(
    deps: AuthenticationDependencies,
    payment: Payment,
    instrument: PlaintextCard,
    draft: Authentication,
    *,
    browser: BrowserData,
) -> RenderedResponse:
    """Send the AReq with the browser data in the request."""
    areq = build_areq(
        deps, payment, draft, card=instrument.card, browser=browser, send_before=payment.attempt.send_before
    )
    answer = await send_areq(deps, draft, areq)
    state = find_next_state(answer.status, proceed_without_3ds=payment.proceed_without_3ds)
    authentication = record_response_in_draft(deps, draft, answer, state, browser=browser)
    if state is AuthenticationState.CHALLENGED:
        return await _redirect_to_page(deps, payment, payment, instrument, authentication)
    async with deps.database.acquire() as connection:
        await insert_authentications(connection, [authentication])
    if state is AuthenticationState.PASSED:
        return await authorize(deps.attempts, payment, instrument, proof=build_proof(authentication))
    return await finish_attempt(
        deps.finish,
        payment,
        lifecycle.fail(payment, codes.AUTHENTICATION_FAILED, deps.clock.now_of(payment.merchant_id)),
    )


async def _redirect_to_page(
    deps: AuthenticationDependencies,
    asked: Payment,
    payment: Payment,
    instrument: PlaintextCard,
    authentication: Authentication,
) -> RenderedResponse:
    """Commit that the attempt waits for its cardholder; return a redirect to our page.

    `asked` is the payment with the attempt in flight: the same one, unless it was declined softly.
    """
    answer = render_response(payment, url=page_url(deps.pages, authentication))
    waiting = lifecycle.set_attempt_state(payment, AttemptState.CHALLENGED)
    move = FinishRecord(
        waiting,
        expected=asked.attempt.state,
        answer=answer,
        challenge=authentication,
        code=_seal_code(deps, payment, instrument, authentication),
    )
    if asked is not payment:
        move = replace(move, payment=lifecycle.set_attempt_state(asked, AttemptState.DECLINED), following=waiting)
    return (
        RenderedResponse(CREATED, answer)
        if await deps.finish.write_queue.submit(move)
        else await load_stored_response(deps.finish, payment)
    )


def _seal_code(
    deps: AuthenticationDependencies, payment: Payment, instrument: PlaintextCard, authentication: Authentication
) -> SealedCode | None:
    """Seal the security code for the duration of the challenge, at most 15 minutes from the request."""
    now, left = deps.clock.now(), payment.created_at + CODE_LIFE - deps.clock.now_of(payment.merchant_id)
    if instrument.code is None or payment.initiator != "customer" or left <= timedelta():
        return None
    return deps.security_codes.seal(instrument.code, holder_id=authentication.series_id, now=now, expires_at=now + left)
