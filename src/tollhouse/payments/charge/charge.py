"""Charge an intent and return the response.

    charge ──> begin_payment (durable) ──> execute_attempt: authenticate, ask the acquirer ──> finish_attempt (durable)

The decisions are here, the steps in the modules beside.
"""

from __future__ import annotations

from msgspec.structs import replace

from tollhouse.idempotency.model import Claim
from tollhouse.idempotency.running import RunningRequest
from tollhouse.kernel import codes
from tollhouse.kernel.faults import Subject, reject
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.payments import lifecycle
from tollhouse.payments.authentication.authenticate import demand_authentication
from tollhouse.payments.authorize import resolve_seconds, send_authorization
from tollhouse.payments.charge.build_payment import build_consumer_row, build_payment
from tollhouse.payments.charge.intent import Intent
from tollhouse.payments.charge.references import USED_TOKEN
from tollhouse.payments.dependencies import ChargeDependencies
from tollhouse.payments.finish import finish_attempt
from tollhouse.payments.idempotency import replay_claim, respond_to_double_click, run_once
from tollhouse.payments.model import ConcurrentChange, Payment
from tollhouse.payments.steps import BeginRecord, Begun, Committed, DoubleClick, KeyAlreadyClaimed, Outdated
from tollhouse.risk.assess import assess


async def charge(deps: ChargeDependencies, intent: Intent) -> RenderedResponse:
    """Charge an intent and return the response; a repeated request gets the first response.

    Raises RequestRejected if the token was used meanwhile, RequestIdReused, RequestInProgress and Unavailable. After
    Unavailable the payment may have begun or not; a repeat with the same idempotency key finds out.
    """
    return await run_once(deps.requests, intent.requested.claim, begin_payment, deps, intent)


async def begin_payment(work: RunningRequest, deps: ChargeDependencies, intent: Intent) -> RenderedResponse:
    """Commit a payment and execute its attempt; or return the response of the earlier request."""
    payment = await build_payment(deps, intent)
    begun = await deps.begin_queue.submit(_build_record(deps, intent, payment))
    if not isinstance(begun, Committed):
        return await _respond_not_begun(deps, intent.requested.claim, payment, begun)
    work.note_begun(payment)
    payment, failure_code = apply_risk_rules(deps, payment, intent, begun)
    return await execute_attempt(deps, payment, intent, failure_code=failure_code)


def _build_record(deps: ChargeDependencies, intent: Intent, payment: Payment) -> BeginRecord:
    """Build the record of a payment that begins, with its idempotency key, token and consumer."""
    return BeginRecord(
        payment=payment,
        claim=intent.requested.claim,
        token_id=intent.token_id,
        consumer=build_consumer_row(intent),
        resolve_seconds=_resolve_seconds(deps, intent),
    )


def _resolve_seconds(deps: ChargeDependencies, intent: Intent) -> float:
    """Return the seconds until the resolver may query the first attempt, including a 3-D Secure check."""
    directory_seconds = deps.authentication.directory.max_seconds if intent.asks_authentication else 0.0
    return resolve_seconds(deps.attempts, intent.acquirer) + directory_seconds


async def _respond_not_begun(
    deps: ChargeDependencies, claim: Claim | None, payment: Payment, begun: Begun
) -> RenderedResponse:
    """Return the response for a payment that did not begin: equal to another, repeated, or with a used token."""
    if isinstance(begun, DoubleClick):
        return await respond_to_double_click(deps.requests, payment, payment_id=begun.payment_id)
    if isinstance(begun, Outdated):
        raise ConcurrentChange("The subscription was changed.")
    rendered = await replay_claim(deps.requests, claim) if isinstance(begun, KeyAlreadyClaimed) else None
    if rendered is None:  # the token is used; the request that had claimed the key released it for the same reason
        raise reject(Subject.TOKEN, USED_TOKEN)
    return rendered


def apply_risk_rules(
    deps: ChargeDependencies, payment: Payment, intent: Intent, found: Committed
) -> tuple[Payment, str | None]:
    """Return the payment with the facts found at begin, and the code with which it fails, or None.

    A disabled card is not charged by request; its subscriptions continue.
    """
    failure_code = assess(found.facts, deps.limits) or intent.failure_code
    if not found.is_account_disabled:
        return payment, failure_code
    if payment.source.is_stored and not payment.renewing:
        failure_code = failure_code or codes.ACCOUNT_DISABLED
    return replace(payment, source=replace(payment.source, is_disabled=True)), failure_code


async def execute_attempt(
    deps: ChargeDependencies, payment: Payment, intent: Intent, *, failure_code: str | None
) -> RenderedResponse:
    """Call the acquirer for a begun payment, or start the challenge that comes first."""
    if failure_code is not None:
        return await finish_attempt(
            deps.finish, payment, lifecycle.fail(payment, failure_code, deps.clock.now_of(payment.merchant_id))
        )
    browser, external = intent.requested.consumer.browser, intent.requested.source.external_authentication
    if intent.asks_authentication:
        return await demand_authentication(
            deps.authentication, payment, intent.card, browser=browser, after_soft_decline=False
        )
    payment, outcome = await send_authorization(
        deps.attempts, payment, intent.card, proof=external.proof if external else None
    )
    if not lifecycle.needs_authentication(payment, outcome):
        return await finish_attempt(
            deps.finish, payment, lifecycle.apply(payment, outcome, deps.clock.now_of(payment.merchant_id))
        )
    payment = lifecycle.record_decline(payment, outcome).with_attempt(answered_at=deps.clock.now())
    if not payment.may_redirect:
        failed = lifecycle.fail(payment, codes.AUTHENTICATION_REQUIRED, deps.clock.now_of(payment.merchant_id))
        return await finish_attempt(deps.finish, payment, failed)
    return await demand_authentication(
        deps.authentication, payment, intent.card, browser=browser, after_soft_decline=True
    )
