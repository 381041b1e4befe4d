"""Give a subscription another card, after verifying the card with its cardholder.

The verification is a payment of zero, with 3-D Secure if that is requested. Its approval begins a new agreement: the
network transaction ID of the old card is never used for a new one. Past-due charges are attempted at once. While the
verification is open, and if it is declined, the subscription is unchanged.
"""

from __future__ import annotations

from msgspec.structs import replace

from tollhouse.billing.changes.change import access_subscription
from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.billing.model import SubscriptionState
from tollhouse.billing.outcomes import summarize_subscription
from tollhouse.billing.renewals.renew import AT_ONCE
from tollhouse.billing.store import Key, select_agreements
from tollhouse.catalog.model import Price
from tollhouse.idempotency.model import Claim
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.money import Money
from tollhouse.payments.charge.intent import Intent, build_intent
from tollhouse.payments.charge.requested_payment import RequestedConsumer, RequestedPayment, RequestedSource
from tollhouse.payments.model import Item

#: States in which a subscription accepts another card.
RUNNING = frozenset(state.value for state in SubscriptionState if state.is_running)


async def request_change(
    billing: BillingDependencies,
    key: Key,
    source: RequestedSource,
    consumer: RequestedConsumer,
    *,
    request_id: str,
    claim: Claim | None,
) -> RequestedPayment:
    """Request the verification of another card for a subscription, whose consumer pays. Raises NotFound."""
    case = await access_subscription(billing, key)
    subscription = case.subscription
    async with billing.database.acquire() as connection:
        agreement = (await select_agreements(connection, [key]))[key]
    price = Price(AT_ONCE, Money(0, subscription.plan.prices[0].money.currency), repeat=False)
    return RequestedPayment(
        merchant_id=subscription.merchant_id,
        request_id=request_id,
        claim=claim,
        items=(Item(subscription.site_id, None, subscription.title, (price,)),),
        source=source,
        consumer=consumer if consumer.ip else replace(consumer, ip=agreement.consumer_ip),
        payer_id=subscription.consumer_id,
        metadata=agreement.metadata,
        ipn_url=agreement.ipn_url,
        redirect_url=agreement.redirect_url,
        changing=summarize_subscription(subscription),
    )


async def build_change(billing: BillingDependencies, requested: RequestedPayment) -> Intent:
    """Build the intent of the verification. Raises RequestRejected, and Invalid for a subscription that is over."""
    intent = await build_intent(billing.lookups, requested)
    status = requested.changing.status if requested.changing else ""
    if status not in RUNNING:
        raise Invalid({}, f"The subscription is {status}.")
    return intent
