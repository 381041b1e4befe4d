"""Renewals in the two durable steps of a payment: written with its intention, settled with its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from tollhouse.billing.declines import ends_all_on_card, is_decline, is_for_good
from tollhouse.billing.lifecycle import fail, fail_on_old_account, pay, revoke, switch_account
from tollhouse.billing.model import EXPIRED, Decline, LifecycleEvent, State, Subscription, SubscriptionContext
from tollhouse.billing.store import (
    Key,
    lock_cases,
    queries,
    select_case,
    select_cases,
    select_keys_on_card,
    update_subscriptions,
)
from tollhouse.kernel.card import Expiry
from tollhouse.kernel.errors import InternalError
from tollhouse.payments.model import BeginRows, Payment, Status, SubscriptionSummary

if TYPE_CHECKING:
    from datetime import datetime

    from tollhouse.billing.tools import RecordEvents
    from tollhouse.storage.database import Database, PlainConnection


class RecordRenewal:
    """Prepares: the try is committed with the payment's intention, if the subscription still is as it was leased."""

    kind = BeginRows.RENEWALS

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the period that the payment is a try for, as the columns of `renewal_try_v1`."""
        renewing = payment.renewing
        if renewing is None:
            return ()
        row = (
            payment.merchant_id,
            renewing.subscription_id,
            renewing.case.lease,
            renewing.period,
            renewing.number,
            payment.transaction_id,
            payment.payment_id,
            renewing.account_id,
            renewing.due_at,
            payment.created_at,
            payment.attempt.fingerprint,
            payment.source.brand,
        )
        return (row,)


class SettleRenewal:
    """Follows: a try that was paid takes its subscription to the next period, a declined one to what dunning says."""

    rank = 31
    stands_alone = False

    def rows(self, payment: Payment) -> Sequence[Payment]:
        """Return the payment if it is a try for a period; what is done with it later changes nothing."""
        return (payment,) if payment.renewing and payment.mode.is_first else ()

    async def write(self, connection: PlainConnection, rows: Sequence[Payment]) -> None:
        """Write what becomes of the subscriptions of a batch."""
        cases = await lock_cases(connection, [_key_of(payment) for payment in rows])
        await _settle_tries(connection, rows)
        settled = [(apply_renewal_outcome(_find(cases, payment), payment), payment) for payment in rows]
        await update_subscriptions(connection, [subscription for subscription, _ in settled])
        for subscription, payment in settled:
            if payment.status is Status.FAIL and ends_all_on_card(_describe(payment)):
                await _revoke_others(connection, payment, subscription)


class TellExpired:
    """Follows, after the event of the payment: the last try that failed is the end of its subscription."""

    rank = 91
    stands_alone = False

    def __init__(self, tell: RecordEvents) -> None:
        self._tell = tell

    def rows(self, payment: Payment) -> Sequence[Payment]:
        """Return the payment if it is a try that failed."""
        is_failed = payment.renewing is not None and payment.mode.is_first and payment.status is Status.FAIL
        return (payment,) if is_failed else ()

    async def write(self, connection: PlainConnection, rows: Sequence[Payment]) -> None:
        """Tell what has expired; `SettleRenewal` holds the locks, and while a try was open nothing else ended it."""
        cases = await select_cases(connection, [_key_of(payment) for payment in rows])
        expired = [payment for payment in rows if _find(cases, payment).subscription.state is State.EXPIRED]
        await self._tell(
            connection,
            [
                LifecycleEvent(EXPIRED, _find(cases, payment).subscription, _time_of(payment), payment.request_id)
                for payment in expired
            ],
        )


class SwitchAccount:
    """Follows: an approved verification gives its subscription the card, with an agreement of its own."""

    rank = 32
    stands_alone = False

    def rows(self, payment: Payment) -> Sequence[Payment]:
        """Return the payment if it verified a new card for a subscription."""
        is_verified = payment.changing is not None and payment.mode.is_first and payment.status is Status.SUCCESS
        return (payment,) if is_verified else ()

    async def write(self, connection: PlainConnection, rows: Sequence[Payment]) -> None:
        """Give the subscriptions of a batch their new cards; of two for one, the later one counts."""
        ordered = sorted(rows, key=lambda payment: (_time_of(payment), payment.transaction_id))
        newest = {_key_of(payment): payment for payment in ordered}
        cases = await lock_cases(connection, newest)
        for key in sorted(cases):
            case, payment = cases[key], newest[key]
            switched = replace(
                switch_account(case.subscription, payment.source.account_id, _time_of(payment), _expiry_of(payment)),
                network_transaction_id=payment.network_transaction_id,
            )
            await update_subscriptions(connection, [switched], are_charging=case.is_charging)


class ForecastSubscription:
    """Tells what a settled payment makes of its subscription, for its answer; what is written a lock decides."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, payment: Payment) -> tuple[SubscriptionSummary, ...]:
        """Return where the subscription will stand; nothing where it is gone."""
        case = payment.renewing.case if payment.renewing else None
        if case is None:
            async with self._database.acquire() as connection:
                case = await select_case(connection, _key_of(payment))
        if case is None:
            return ()
        if payment.renewing is None:
            return (summarize_subscription(case.subscription),)
        tried = replace(case.subscription, tries=payment.renewing.number)
        return (summarize_subscription(apply_renewal_outcome(replace(case, subscription=tried), payment)),)


def summarize_subscription(subscription: Subscription) -> SubscriptionSummary:
    """Return where a subscription stands, as answers tell it."""
    return SubscriptionSummary(
        subscription_id=subscription.subscription_id,
        status=subscription.state.value,
        cycle=subscription.cycle,
        site_id=subscription.site_id,
        consumer_id=subscription.consumer_id,
        sku_name=subscription.sku_name,
        renewal_at=subscription.renewal_at,
        cancel_at=subscription.cancel_at,
    )


def apply_renewal_outcome(case: SubscriptionContext, payment: Payment) -> Subscription:
    """Return the subscription after a try. Pure; while the try is open nothing changes."""
    if payment.status is Status.PENDING:
        return case.subscription
    if payment.status is Status.SUCCESS:
        return pay(case.subscription, _time_of(payment), _expiry_of(payment))
    if payment.renewing and payment.renewing.account_id != case.subscription.account_id:
        return fail_on_old_account(case.subscription, _time_of(payment))
    return fail(case, _describe(payment))


def _describe(payment: Payment) -> Decline:
    return Decline(_time_of(payment), payment.code or "", payment.attempt.advice_code, payment.source.brand)


async def _settle_tries(connection: PlainConnection, rows: Sequence[Payment]) -> None:
    failed = [_describe(payment) if payment.status is Status.FAIL else None for payment in rows]
    await queries.settle_renewals(
        connection,
        merchant_ids=[payment.merchant_id for payment in rows],
        transaction_ids=[payment.transaction_id for payment in rows],
        states=["paid" if payment.status is Status.SUCCESS else "failed" for payment in rows],
        settled_at=[_time_of(payment) for payment in rows],
        codes=[decline and decline.code for decline in failed],
        advice_codes=[decline and decline.advice_code for decline in failed],
        declined=[decline is not None and is_decline(decline) for decline in failed],
        refused=[decline is not None and is_for_good(decline) for decline in failed],
    )


async def _revoke_others(connection: PlainConnection, payment: Payment, subscription: Subscription) -> None:
    """Let all else of the merchant end that runs on the card that was tried, when the worker looks at it."""
    account_id = payment.renewing.account_id if payment.renewing else subscription.account_id
    keys = await select_keys_on_card(connection, replace(subscription, account_id=account_id))
    cases = await lock_cases(connection, keys)
    for key in sorted(cases):
        case = cases[key]
        revoked = revoke(case.subscription, _time_of(payment))
        await update_subscriptions(connection, [revoked], are_charging=case.is_charging)


def _find(cases: dict[Key, SubscriptionContext], payment: Payment) -> SubscriptionContext:
    """Return the case of a renewed subscription; its rows are never deleted."""
    case = cases.get(_key_of(payment))
    if case is None:
        raise InternalError("A subscription that was renewed is not there.")
    return case


def _key_of(payment: Payment) -> Key:
    subscription_id = payment.renewing.subscription_id if payment.renewing else payment.changing
    return payment.merchant_id, subscription_id or 0


def _expiry_of(payment: Payment) -> Expiry:
    """Return the expiry of the card that paid."""
    return Expiry(payment.source.expiry_month, payment.source.expiry_year)


def _time_of(payment: Payment) -> datetime:
    return payment.settled_at or payment.created_at
