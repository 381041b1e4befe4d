"""Check the cards of subscriptions: 30 days before they expire, and after they were declined for good.

The account updater is queried. A new date or number replaces the old one in all subscriptions on the card, and past-due
charges are attempted at once. Only here does the network transaction ID of an agreement pass to another number. If
there is no update and the card is about to expire, the site is notified.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from msgspec.structs import replace

from tollhouse.acquirers.model import NotSent, Unknown, Updated
from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.billing.lifecycle import switch_account
from tollhouse.billing.model import CARD_EXPIRING, LifecycleEvent, SubscriptionContext
from tollhouse.billing.schedule import CARD_WARNING, card_ends_at, choose_card_check
from tollhouse.billing.store import lease_cards, lock_cases, select_keys_on_account, update_subscriptions
from tollhouse.kernel.card import Card, Expiry
from tollhouse.kernel.ids import new_request_id
from tollhouse.payments.charge.account_update import apply_update, query_updater
from tollhouse.payments.charge.wallet import select_cards

#: Until a card is checked again for which the updater gave no response.
UPDATER_RETRY_INTERVAL = timedelta(hours=1)

log = structlog.get_logger()


async def lease_due_cards(billing: BillingDependencies, *, limit: int) -> list[SubscriptionContext]:
    """Lease subscriptions whose cards are due for a check, and learn the clocks of their merchants."""
    async with billing.database.acquire() as connection:
        cases = await lease_cards(connection, limit=limit, pause=UPDATER_RETRY_INTERVAL)
    for case in cases:
        billing.clock.observe_offset(case.subscription.merchant_id, case.clock_offset)
    return cases


async def check_card(billing: BillingDependencies, case: SubscriptionContext) -> None:
    """Query the updater about the card of a subscription, and apply the update or notify the site. Safe to repeat."""
    subscription = case.subscription
    update = await query_updater(
        billing.updates, merchant_id=subscription.merchant_id, account_id=subscription.account_id
    )
    log.info("card.checked", subscription_id=subscription.subscription_id, finding=type(update).__name__.lower())
    if isinstance(update, Unknown | NotSent):
        return  # its lease postponed it
    if isinstance(update, Updated):
        await _apply_card(billing, case, update.card)
    else:
        await _record_expiry(billing, case)


async def _apply_card(billing: BillingDependencies, case: SubscriptionContext, card: Card) -> None:
    """Apply an updated card to all subscriptions that are charged to it."""
    subscription = case.subscription
    async with billing.database.transaction() as connection:
        account_id = await apply_update(
            connection,
            billing.updates.vault,
            merchant_id=subscription.merchant_id,
            account_id=subscription.account_id,
            card=card,
        )
        keys = [subscription.key, *await select_keys_on_account(connection, subscription)]
        for fresh in (await lock_cases(connection, keys)).values():
            if fresh.subscription.account_id == subscription.account_id:
                switched = switch_account(fresh.subscription, account_id, fresh.now, card.expiry)
                await update_subscriptions(connection, [switched], are_charging=fresh.is_charging)


async def _record_expiry(billing: BillingDependencies, case: SubscriptionContext) -> None:
    """Record the event about a card that expires soon, once for each expiry.

    A card that is checked because it was declined had this event before, if it expires soon.
    """
    key = case.subscription.key
    expiry = await _read_expiry(billing, case)
    async with billing.database.transaction() as connection:
        fresh = (await lock_cases(connection, [key])).get(key)
        if fresh is None or expiry is None or fresh.subscription.account_id != case.subscription.account_id:
            return
        if not fresh.subscription.state.is_running or fresh.subscription.check_card_at is None:
            return
        check_at = choose_card_check(expiry, fresh.now)
        is_later = check_at is not None and check_at > fresh.now
        noted = replace(fresh.subscription, check_card_at=check_at if is_later else None)
        await update_subscriptions(connection, [noted], are_charging=fresh.is_charging)
        if _expires_soon(expiry, fresh) and not fresh.subscription.waits_for_account:
            await billing.tell(connection, [LifecycleEvent(CARD_EXPIRING, noted, fresh.now, new_request_id())])


async def _read_expiry(billing: BillingDependencies, case: SubscriptionContext) -> Expiry | None:
    key = (case.subscription.merchant_id, case.subscription.account_id)
    async with billing.database.acquire() as connection:
        card = (await select_cards(connection, [key])).get(key)
    return Expiry(card.expiry_month, card.expiry_year) if card else None


def _expires_soon(expiry: Expiry, case: SubscriptionContext) -> bool:
    return case.now < card_ends_at(expiry) <= case.now + CARD_WARNING
