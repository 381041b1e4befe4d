"""Putting another card on a subscription: it is verified with its holder, and from then on it is charged.

The verification is a payment of nothing like any other, with 3-D Secure if that is asked for. Its approval begins an
agreement of its own: the network's id of the old card is never carried to a new one. What is past due is tried again at
once. While the verification waits for its cardholder, and when it is declined, the subscription stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from tollhouse.billing.changes.change import access_subscription
from tollhouse.billing.model import Agreement, SubscriptionContext
from tollhouse.billing.renewals.renew import AT_ONCE
from tollhouse.billing.settle import summarize_subscription
from tollhouse.billing.store import select_agreements
from tollhouse.catalog.model import Price
from tollhouse.consumers.store import select_consumer
from tollhouse.kernel.errors import InternalError, Invalid
from tollhouse.kernel.money import Money
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.charge.order import build_order
from tollhouse.payments.charge.requested_payment import References, RequestedItem, RequestedPayment, SkuReference
from tollhouse.payments.charge.sources import Resolved, resolve

if TYPE_CHECKING:
    from tollhouse.billing.store import Key
    from tollhouse.billing.tools import BillingDependencies
    from tollhouse.consumers.model import Consumer
    from tollhouse.kernel.card import Card, Cvv
    from tollhouse.kernel.requests import Claim, Reply
    from tollhouse.payments.model import ExternalAuthentication, Order
    from tollhouse.threeds.model import BrowserData


class NewSource(Struct, frozen=True):
    """The card that a subscription shall have, as a sound request describes it."""

    kind: str
    request_id: str
    claim: Claim | None
    card: Card | None
    code: Cvv | None
    asks_authentication: bool
    #: What the request says of the consumer; nothing of it is needed.
    consumer: Mapping[str, Any]
    consumer_ip: str | None
    browser: BrowserData | None
    emulate_code: str | None
    mid: str | None
    endorsement: ExternalAuthentication | None


@dataclass(frozen=True, slots=True)
class Change:
    """A subscription that shall have another card, and what the request for it points at."""

    case: SubscriptionContext
    agreement: Agreement
    resolved: Resolved

    @property
    def faults(self) -> Mapping[str, list[str]]:
        """What leads nowhere, by its path in the request."""
        return self.resolved.faults


async def resolve_change(biller: BillingDependencies, key: Key, asked: References) -> Change:
    """Look up a subscription and what a request for another card points at. Only reads; collects faults by their paths.

    Of the references those to the source count, and that to the consumer, who has to be the subscription's own. Raises
    NotFound.
    """
    case = await access_subscription(biller, key)
    async with biller.tools.database.acquire() as connection:
        agreement = (await select_agreements(connection, [key]))[key]
    return Change(case, agreement, await _resolve(biller, case, asked))


async def build_change(biller: BillingDependencies, change: Change, wanted: NewSource) -> Order:
    """Return the verification that puts another card on a subscription.

    Raises Invalid with every fault of what the request points at; also for a subscription that is over.
    """
    subscription = change.case.subscription
    if change.faults:
        raise Invalid(change.faults)
    if not subscription.state.is_running:
        raise Invalid({}, f"The subscription is {subscription.state.value}.")
    order = await build_order(biller.tools, _build_wanted(change, wanted), change.resolved)
    return replace(
        order,
        changing=subscription.subscription_id,
        standings=(summarize_subscription(subscription),),
        is_consumer_known=True,
        reason="recurring",
    )


async def change_account(biller: BillingDependencies, order: Order) -> Reply:
    """Verify the card, and return the answer as that of a payment, with the subscription in it.

    Raises what `payments.charge.charge` raises.
    """
    return await charge(biller.tools, order)


async def _resolve(biller: BillingDependencies, case: SubscriptionContext, asked: References) -> Resolved:
    """Look up what the request points at. The card has to be of the subscription's own consumer, or new."""
    subscription = case.subscription
    resolved = await resolve(
        biller.tools,
        References(
            merchant_id=subscription.merchant_id,
            skus=(SkuReference("subscription", str(subscription.site_id), None),),
            source_kind=asked.source_kind,
            token=asked.token,
            account_id=asked.account_id,
            source_consumer_id=asked.source_consumer_id,
            consumer_id=subscription.consumer_id,
            mid=asked.mid,
            has_ipn_url=True,
            has_redirect_url=True,
        ),
    )
    if resolved.account is not None and resolved.account.consumer_id != subscription.consumer_id:
        resolved.faults.pop("consumer.id", None)
        resolved.blame("paymentSource", "is a card of another consumer than the subscription's")
    # A site that sells no more still has its subscriptions.
    resolved.faults.pop("subscription.siteId", None)
    resolved.consumer = await _load_consumer(biller, case)
    if asked.consumer_id not in {None, subscription.consumer_id, resolved.consumer.external_id}:
        resolved.blame("consumer.id", "is not the consumer of the subscription")
    return resolved


async def _load_consumer(biller: BillingDependencies, case: SubscriptionContext) -> Consumer:
    subscription = case.subscription
    async with biller.tools.database.acquire() as connection:
        found = await select_consumer(
            connection, merchant_id=subscription.merchant_id, consumer_id=subscription.consumer_id
        )
    if found is None:
        raise InternalError("The consumer of a subscription is not there.")
    return found[0]


def _build_wanted(change: Change, wanted: NewSource) -> RequestedPayment:
    subscription, agreement = change.case.subscription, change.agreement
    currency = subscription.plan.prices[0].money.currency
    return RequestedPayment(
        merchant_id=subscription.merchant_id,
        request_id=wanted.request_id,
        claim=wanted.claim,
        source_kind=wanted.kind,
        card=wanted.card,
        code=wanted.code,
        items=(RequestedItem(subscription.title, (Price(AT_ONCE, Money(0, currency), repeat=False),)),),
        external_id=None,
        consumer=wanted.consumer,
        consumer_ip=wanted.consumer_ip or agreement.consumer_ip,
        metadata=agreement.metadata,
        ipn_url=agreement.ipn_url,
        redirect_url=agreement.redirect_url,
        asks_authentication=wanted.asks_authentication,
        initiator="customer",
        browser=wanted.browser,
        emulate_code=wanted.emulate_code,
        mid=wanted.mid,
        endorsement=wanted.endorsement,
    )
