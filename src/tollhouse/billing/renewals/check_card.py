"""Looking at the cards of subscriptions: 30 days before they expire, and when they were declined for good.

The account updater is asked what is new. A new date or a new number is taken over for everything that runs on the
card, and then what is past due is tried again at once. Only in this way the agreement's network transaction id passes
to another number. Where there is nothing new and the card is about to expire, the site is told.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from msgspec.structs import replace

from tollhouse.acquirers.model import NotSent, Unknown, Updated
from tollhouse.billing.card_dates import CARD_WARNING, card_ends_at, choose_card_check
from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.billing.lifecycle import switch_account
from tollhouse.billing.model import CARD_EXPIRING, LifecycleEvent, SubscriptionContext
from tollhouse.billing.store import lease_cards, lock_cases, select_keys_on_account, update_subscriptions
from tollhouse.kernel.card import Card, Expiry
from tollhouse.kernel.ids import new_request_id
from tollhouse.payments.charge.account_update import apply_update, ask_for_update
from tollhouse.payments.charge.wallet import load_cards

#: Until a card is looked at again about which the updater gave no answer.
PAUSE = timedelta(hours=1)

log = structlog.get_logger()


async def lease_due_cards(biller: BillingDependencies, *, limit: int) -> list[SubscriptionContext]:
    """Take subscriptions whose cards are to be looked at; this process knows its merchants' clocks afterwards."""
    async with biller.database.acquire() as connection:
        cases = await lease_cards(connection, limit=limit, pause=PAUSE)
    for case in cases:
        biller.clock.observe_offset(case.subscription.merchant_id, case.clock_offset)
    return cases


async def check_card(biller: BillingDependencies, case: SubscriptionContext) -> None:
    """Ask about the card of one subscription, and take over or tell what there is. Safe to repeat."""
    subscription = case.subscription
    update = await ask_for_update(
        biller.updates, merchant_id=subscription.merchant_id, account_id=subscription.account_id
    )
    log.info("card.checked", subscription_id=subscription.subscription_id, finding=type(update).__name__.lower())
    if isinstance(update, Unknown | NotSent):
        return  # it was put off when it was taken
    if isinstance(update, Updated):
        await _take_over(biller, case, update.card)
    else:
        await _tell_expiry(biller, case)


async def _take_over(biller: BillingDependencies, case: SubscriptionContext, card: Card) -> None:
    """Let everything that runs on a card go on with what it is by now."""
    subscription = case.subscription
    async with biller.database.transaction() as connection:
        account_id = await apply_update(
            connection,
            biller.updates.vault,
            merchant_id=subscription.merchant_id,
            account_id=subscription.account_id,
            card=card,
        )
        keys = [subscription.key, *await select_keys_on_account(connection, subscription)]
        for fresh in (await lock_cases(connection, keys)).values():
            if fresh.subscription.account_id == subscription.account_id:
                switched = switch_account(fresh.subscription, account_id, fresh.now, card.expiry)
                await update_subscriptions(connection, [switched], are_charging=fresh.is_charging)


async def _tell_expiry(biller: BillingDependencies, case: SubscriptionContext) -> None:
    """Tell that the card expires soon, once for each expiry; a card with a later one is looked at again in time.

    A card that was looked at because it was declined was told of before, if it expires at all soon.
    """
    key = case.subscription.key
    expiry = await _read_expiry(biller, case)
    async with biller.database.transaction() as connection:
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
            await biller.tell(connection, [LifecycleEvent(CARD_EXPIRING, noted, fresh.now, new_request_id())])


async def _read_expiry(biller: BillingDependencies, case: SubscriptionContext) -> Expiry | None:
    key = (case.subscription.merchant_id, case.subscription.account_id)
    async with biller.database.acquire() as connection:
        card = (await load_cards(connection, [key])).get(key)
    return Expiry(card.expiry_month, card.expiry_year) if card else None


def _expires_soon(expiry: Expiry, case: SubscriptionContext) -> bool:
    return case.now < card_ends_at(expiry) <= case.now + CARD_WARNING
