"""Renew due subscriptions: charge each for its next period, end it, or postpone it.

    lease ──> load ──> begin (durable, if unchanged since) ──> call the acquirer ──> finish (durable)

The lease only saves work. Begin makes sure that a period is charged once (`billing.outcomes`): the subscription is
locked and must be unchanged since its lease, and a unique index allows no second open or paid attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog
from msgspec import Struct
from msgspec.structs import replace

from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.billing.dunning import choose_allowed_time
from tollhouse.billing.lifecycle import end_what_is_over, next_charge, skip_free_period
from tollhouse.billing.model import (
    CANCELED,
    EXPIRED,
    Agreement,
    LifecycleEvent,
    LifecycleEventKind,
    Subscription,
    SubscriptionContext,
    SubscriptionState,
)
from tollhouse.billing.renewals.breaker import count_renewals
from tollhouse.billing.schedule import Charge
from tollhouse.billing.store import (
    lease_due_subscriptions,
    lock_cases,
    release_subscriptions,
    select_agreements,
    update_subscriptions,
)
from tollhouse.catalog.model import Offset
from tollhouse.kernel.ids import new_request_id
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.notices.model import ReceiptRequest
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.charge.intent import build_intent
from tollhouse.payments.charge.requested_payment import RequestedConsumer, RequestedPayment, RequestedSource
from tollhouse.payments.charge.wallet import StoredCard, select_cards
from tollhouse.payments.model import ConcurrentChange, Item, Renewing
from tollhouse.storage.database import PlainConnection

#: The life of a lease: a charge begins within seconds, and needs no lease after that.
LEASE_SECONDS = 60.0
#: Until a subscription is due again that could not be charged for a reason of ours.
RETRY_INTERVAL_SECONDS = 300.0

AT_ONCE = Offset(0, "d")
#: The source of a renewal in responses.
SOURCE_KIND = "paymentAccountId"

log = structlog.get_logger()


class Due(Struct, frozen=True):
    """A charge that is due, with the records that it needs."""

    case: SubscriptionContext
    charge: Charge
    account: StoredCard
    agreement: Agreement


async def lease_due(billing: BillingDependencies, *, limit: int) -> list[SubscriptionContext]:
    """Lease due subscriptions, and learn the clocks of their merchants.

    While renewals are paused (`billing.renewals.breaker`), nothing is charged by real time; other processing continues.
    """
    async with billing.database.acquire() as connection:
        hour = await count_renewals(connection, 0)
        cases = await lease_due_subscriptions(
            connection, limit=limit, charge_limit=min(limit, hour.room), lease_seconds=LEASE_SECONDS
        )
    for case in cases:
        billing.clock.observe_offset(case.subscription.merchant_id, case.clock_offset)
    return cases


async def load_due(billing: BillingDependencies, cases: Sequence[SubscriptionContext]) -> list[Due]:
    """Return the charges that may be made now; end, skip or postpone all other subscriptions.

    Each charge by real time counts for its hour.
    """
    charging = [(case, charge) for case in cases if (charge := _find_due_charge(case)) is not None]
    charging_keys = {case.subscription.key for case, _ in charging}
    await _process_others(billing, [case for case in cases if case.subscription.key not in charging_keys])
    if not charging:
        return []
    async with billing.database.acquire() as connection:
        agreements = await select_agreements(connection, charging_keys)
        accounts = await select_cards(
            connection, {(case.subscription.merchant_id, case.subscription.account_id) for case, _ in charging}
        )
    found = await _build_charges(billing, charging, agreements, accounts)
    if counted := sum(not due.case.clock_offset for due in found):
        async with billing.database.acquire() as connection:
            await count_renewals(connection, counted)
    return found


async def renew(billing: BillingDependencies, due: Due) -> RenderedResponse | None:
    """Charge a subscription for its next period, and return the response; None if it was changed meanwhile.

    Raises Unavailable if the payment may have begun or not; the expiry of the lease or the resolver resolves that.
    """
    try:
        return await charge(billing.charging, await build_intent(billing.lookups, _request_renewal(due)))
    except ConcurrentChange:
        log.info("renewal.superseded", subscription_id=due.case.subscription.subscription_id)
        return None


def _find_due_charge(case: SubscriptionContext) -> Charge | None:
    """Return the charge that is due for a leased subscription; None if it needs other processing."""
    subscription = case.subscription
    charge = next_charge(subscription)
    is_due = subscription.charge_at is not None and subscription.charge_at <= case.now
    if end_what_is_over(case) is not None or charge is None or not is_due or not charge.money.amount_minor:
        return None
    return charge


async def _build_charges(
    billing: BillingDependencies,
    charging: Sequence[tuple[SubscriptionContext, Charge]],
    agreements: dict[tuple[int, int], Agreement],
    accounts: dict[tuple[int, UUID], StoredCard],
) -> list[Due]:
    found: list[Due] = []
    put_off: list[SubscriptionContext] = []
    for case, due_charge in charging:
        subscription = case.subscription
        account = accounts.get((subscription.merchant_id, subscription.account_id))
        agreement = agreements.get(subscription.key)
        site = await billing.lookups.catalog.site(subscription.merchant_id, subscription.site_id)
        if not case.is_merchant_active:
            put_off.append(case)
        elif account is None or agreement is None or site is None:
            log.error("renewal.reference_missing", subscription_id=subscription.subscription_id)
            put_off.append(case)
        elif choose_allowed_time(case.now, brand=account.brand, declines=case.declines) > case.now:
            await _wait_for_scheme(billing, case, brand=account.brand)
        else:
            found.append(Due(case, due_charge, account, agreement))
    if put_off:
        async with billing.database.acquire() as connection:
            await release_subscriptions(connection, put_off, pause_seconds=RETRY_INTERVAL_SECONDS)
    return found


async def _wait_for_scheme(billing: BillingDependencies, case: SubscriptionContext, *, brand: str) -> None:
    """Postpone a charge to the time that the limits of the card's scheme allow after recent declines."""
    async with billing.database.transaction() as connection:
        fresh = (await lock_cases(connection, [case.subscription.key]))[case.subscription.key]
        if fresh.lease == case.lease:
            at = choose_allowed_time(fresh.now, brand=brand, declines=fresh.declines)
            await update_subscriptions(connection, [replace(fresh.subscription, charge_at=at)])


async def _process_others(billing: BillingDependencies, cases: Sequence[SubscriptionContext]) -> None:
    """End subscriptions that are over, and skip periods that cost nothing, by the facts under the lock."""
    if not cases:
        return
    leases = {case.subscription.key: case.lease for case in cases}
    async with billing.database.transaction() as connection:
        fresh = await lock_cases(connection, leases)
        held = [case for key, case in sorted(fresh.items()) if case.lease == leases[key]]
        await _write_others(billing, connection, held)


async def _write_others(
    billing: BillingDependencies, connection: PlainConnection, cases: Sequence[SubscriptionContext]
) -> None:
    ended = [(case, over) for case in cases if (over := end_what_is_over(case)) is not None]
    over_keys = {over.key for _, over in ended}
    passed = [
        skip_free_period(case) for case in cases if case.subscription.key not in over_keys and _costs_nothing(case)
    ]
    changed = over_keys | {each.key for each in passed}
    kept = [case.subscription for case in cases if case.subscription.key not in changed]
    await update_subscriptions(connection, [over for _, over in ended] + passed + kept)
    lifecycle_events = [_describe_end(over, case) for case, over in ended]
    if lifecycle_events:
        await billing.tell(connection, lifecycle_events)


def _costs_nothing(case: SubscriptionContext) -> bool:
    """Return whether the due period has a price of zero."""
    charge = next_charge(case.subscription)
    return charge is not None and charge.due_at <= case.now and not charge.money.amount_minor


def _describe_end(over: Subscription, case: SubscriptionContext) -> LifecycleEvent:
    kind: LifecycleEventKind = CANCELED if over.state is SubscriptionState.CANCELED else EXPIRED
    return LifecycleEvent(kind, over, case.now, new_request_id())


def _request_renewal(due: Due) -> RequestedPayment:
    """Request a payment by the agreement, without a cardholder.

    The cardholder is absent, so a soft decline is a failure. No security code is sent; the scheme's ID of the payment
    that began the agreement is sent.
    """
    subscription, agreement, account = due.case.subscription, due.agreement, due.account
    recipient = agreement.recipient
    return RequestedPayment(
        merchant_id=account.merchant_id,
        items=(_build_item(subscription, due.charge),),
        request_id=new_request_id(),
        source=RequestedSource(kind=SOURCE_KIND, account=account, initiator="merchant", mid=agreement.mid),
        consumer=RequestedConsumer(ip=agreement.consumer_ip),
        metadata=agreement.metadata,
        ipn_url=agreement.ipn_url,
        redirect_url=agreement.redirect_url,
        receipt=ReceiptRequest(recipient["to"], recipient["language"]) if recipient else None,
        renewing=Renewing(
            subscription.subscription_id,
            due.charge.period,
            number=subscription.tries + 1,
            due_at=due.charge.due_at,
            account_id=subscription.account_id,
            case=due.case,
        ),
        network_transaction_id=subscription.network_transaction_id,
    )


def _build_item(subscription: Subscription, charge: Charge) -> Item:
    """Build the item: the prices of this period, due now and once."""
    prices = tuple(replace(price, offset=AT_ONCE, repeat=False) for price in charge.prices)
    return Item(subscription.site_id, subscription.sku_name, subscription.title, prices)
