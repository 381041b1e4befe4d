"""Charging: from an order that was checked to an answer.

    charge ──> begin (durable) ──> pursue ──> authenticate, or ask the acquirer ──> settle (durable)

The branches are here; the leaves are in the modules beside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tollhouse.kernel import codes
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.requests import Reply
from tollhouse.payments import lifecycle
from tollhouse.payments.authentication.authenticate import demand_authentication
from tollhouse.payments.authorize import ask, resolve_seconds
from tollhouse.payments.charge.build_payment import build_consumer_row, build_payment
from tollhouse.payments.finish import finish_attempt
from tollhouse.payments.idempotency import answer_double_click, answer_in_time, answer_once, recall_claim
from tollhouse.payments.model import ConcurrentChange, Order, Payment
from tollhouse.payments.steps import BeginRecord, Committed, DoubleClick, KeyAlreadyClaimed, Outdated, TokenAlreadyUsed
from tollhouse.risk.assess import assess

if TYPE_CHECKING:
    from tollhouse.payments.tools import Tools

TOKEN_USED = {"paymentSource.token": ["was used already; tokenize the card again"]}


async def charge(tools: Tools, order: Order) -> Reply:
    """Charge an order and return the answer; a request that was seen before gets its first answer.

    Raises Invalid when the token was used meanwhile, RequestIdReused, RequestInProgress, and Unavailable. After
    Unavailable nobody knows whether the intention was committed: the same request id finds out.
    """
    if order.claim is None:
        return await tools.running.finish(_begin(tools, order), name="charge")
    return await answer_once(tools, order.claim, lambda: _begin(tools, order))


async def _begin(tools: Tools, order: Order) -> Reply:
    """Commit the intention, then pursue it; or answer by what was there before."""
    payment = await build_payment(tools, order)
    begun = await tools.beginnings.submit(
        BeginRecord(
            payment=payment,
            claim=order.claim,
            token_id=order.token_id,
            consumer=build_consumer_row(order),
            resolve_seconds=_resolve_seconds(tools, order),
        )
    )
    if isinstance(begun, KeyAlreadyClaimed) and order.claim is not None:
        reply = await recall_claim(tools, order.claim)
        if reply is None:  # whoever held the request id gave it back, because its token was gone
            raise Invalid(TOKEN_USED)
        return reply
    if isinstance(begun, DoubleClick):
        return await answer_double_click(tools, payment, payment_id=begun.payment_id)
    if isinstance(begun, TokenAlreadyUsed):
        raise Invalid(TOKEN_USED)
    if isinstance(begun, Outdated):
        raise ConcurrentChange("The subscription was changed.")
    if isinstance(begun, Committed):
        payment, order = apply_risk_rules(tools, payment, order, begun)
    return await answer_in_time(tools, payment, order.claim, execute_attempt(tools, payment, order))


def apply_risk_rules(tools: Tools, payment: Payment, order: Order, found: Committed) -> tuple[Payment, Order]:
    """Take in what was found when the intention was written: the account's state, and what risk says to the rest.

    A card that is disabled is charged no more by request; what runs on it goes on (behaviour, section 3).
    """
    refused_with = assess(found.facts, tools.limits) or order.refused_with
    if found.is_account_disabled:
        payment = replace(payment, source=replace(payment.source, is_disabled=True))
        if payment.source.is_stored and not payment.renewing:
            refused_with = refused_with or codes.ACCOUNT_DISABLED
    return payment, replace(order, refused_with=refused_with)


def _resolve_seconds(tools: Tools, order: Order) -> float:
    """Return when the resolver may look at the first attempt: the Directory is asked before the acquirer, if at all."""
    directory_seconds = tools.directory.patience_seconds if order.asks_authentication else 0.0
    return resolve_seconds(tools, order.acquirer) + directory_seconds


async def execute_attempt(tools: Tools, payment: Payment, order: Order) -> Reply:
    """Take a committed intention to its outcome, or to the challenge that stands before it."""
    if order.refused_with is not None:
        return await finish_attempt(
            tools, payment, lifecycle.refuse(payment, order.refused_with, tools.now_of(payment))
        )
    if order.asks_authentication:
        return await demand_authentication(
            tools, payment, order.instrument, browser=order.browser, after_soft_decline=False
        )
    proof = order.endorsement.proof if order.endorsement else None
    payment, outcome = await ask(tools, payment, order.instrument, proof=proof)
    if not lifecycle.needs_authentication(payment, outcome):
        return await finish_attempt(tools, payment, lifecycle.apply(payment, outcome, tools.now_of(payment)))
    payment = lifecycle.note_decline(payment, outcome).with_attempt(answered_at=tools.clock.now())
    if not payment.may_redirect:
        refused = lifecycle.refuse(payment, codes.AUTHENTICATION_REQUIRED, tools.now_of(payment))
        return await finish_attempt(tools, payment, refused)
    return await demand_authentication(tools, payment, order.instrument, browser=order.browser, after_soft_decline=True)
