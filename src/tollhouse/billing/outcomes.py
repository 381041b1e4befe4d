"""Apply the outcomes of renewals, voids and new cards to subscriptions.

The changes are computed before an outcome is written, and written with it. A subscription is read with its version.
Finish writes the change only if the subscription still has this version; else nothing of the outcome is written, and
the changes are computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tollhouse.billing.dependencies import DescribeEvents
from tollhouse.billing.lifecycle import cancel, fail, fail_on_old_account, pay, revoke, switch_account
from tollhouse.billing.model import (
    CANCELED,
    EXPIRED,
    Decline,
    LifecycleEvent,
    Subscription,
    SubscriptionContext,
    SubscriptionState,
)
from tollhouse.billing.store import (
    Key,
    select_case,
    select_cases,
    select_keys_of_payments,
    select_keys_on_card,
    subscription_row,
)
from tollhouse.kernel.card import Expiry
from tollhouse.kernel.errors import InternalError
from tollhouse.payments.model import BeginRows, FinishRows, Mode, Payment, Status, SubscriptionSummary
from tollhouse.storage.database import Database, PlainConnection

#: The reason for canceling the subscriptions of a voided sign-up.
VOIDED = "The sign-up was voided."

#: A changed subscription, and the subscription as it was read.
Change = tuple[Subscription, SubscriptionContext]


class SubscriptionChanges(Struct, frozen=True):
    """The changes to subscriptions that an outcome makes, and the events about them."""

    changes: tuple[Change, ...] = ()
    events: tuple[tuple[Any, ...], ...] = ()


class RecordRenewal:
    """A begin hook that records a renewal attempt, if the subscription is unchanged since its lease."""

    kind = BeginRows.RENEWALS

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the period of the renewal, as the columns of `renewal_try_v1`."""
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


class FinishRenewal:
    """A finish hook that records the outcome of a renewal attempt."""

    kind = FinishRows.RENEWALS

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the outcome as the columns of `renewal_outcome_v1`. An operation changes nothing."""
        if payment.renewing is None or not payment.mode.is_first:
            return ()
        decline = _describe(payment) if payment.status is Status.FAIL else None
        row = (
            payment.merchant_id,
            payment.transaction_id,
            "failed" if decline else "paid",
            _time_of(payment),
            decline and decline.code,
            decline and decline.advice_code,
            decline is not None and decline.rule.is_decline,
            decline is not None and decline.rule.is_for_good,
        )
        return (row,)


class ChangeSubscriptions:
    """A finish hook that writes the changed subscriptions."""

    kind = FinishRows.SUBSCRIPTIONS

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the changed subscriptions, each with the version that it was computed from."""
        return [
            subscription_row(after, is_charging=_is_charging(case, payment), expected_version=case.version)
            for after, case in _changes_of(payment).changes
        ]


def _is_charging(case: SubscriptionContext, payment: Payment) -> bool:
    """Return whether another charge of the subscription is in progress, apart from this finished one."""
    is_own_try = payment.renewing is not None and case.subscription.key == _key_of(payment)
    return case.is_charging and not is_own_try


class RecordVoidedEnds:
    """A finish hook that records the ends of subscriptions by a void, before the event of the void."""

    kind = FinishRows.EVENTS

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the events of a void."""
        return _changes_of(payment).events if payment.mode is Mode.VOID else ()


class RecordExpiry:
    """A finish hook that records the expiry of a subscription, after the event of its failed renewal."""

    kind = FinishRows.EVENTS

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the events of a renewal."""
        return _changes_of(payment).events if payment.mode.is_first else ()


class ForecastSubscription:
    """A computation of the changes to subscriptions before an outcome is written."""

    def __init__(self, database: Database, describe: DescribeEvents) -> None:
        self._database = database
        self._describe = describe

    async def __call__(self, payment: Payment) -> Payment:
        """Return the payment with the changes to subscriptions, and with the subscriptions after them."""
        if payment.mode is Mode.VOID and payment.status is Status.SUCCESS:
            return await self._forecast_void(payment)
        if payment.mode.is_first and payment.renewing:
            return await self._forecast_renewal(payment)
        if payment.mode.is_first and payment.changing:
            return await self._forecast_new_card(payment)
        return payment

    async def _forecast_renewal(self, payment: Payment) -> Payment:
        known = _find_case_of_begin(payment)
        if known is not None:
            after = apply_renewal_outcome(known, payment)
            return _with_changes(payment, [(after, known)])
        async with self._database.acquire() as connection:
            case = await select_case(connection, _key_of(payment))
            if case is None:
                raise InternalError("A subscription that was renewed is not there.")
            after = apply_renewal_outcome(case, payment)
            others = await _revoke_others(connection, payment, after)
            events = await self._describe_expiry(connection, payment, after)
        return _with_changes(payment, [(after, case), *others], events)

    async def _describe_expiry(
        self, connection: PlainConnection, payment: Payment, after: Subscription
    ) -> Sequence[tuple[Any, ...]]:
        """Build the event about a subscription that expired with its last attempt."""
        if payment.status is not Status.FAIL or after.state is not SubscriptionState.EXPIRED:
            return ()
        code = _describe(payment).code
        event = LifecycleEvent(EXPIRED, after, _time_of(payment), payment.request_id, declined_with=code)
        return await self._describe(connection, [event])

    async def _forecast_new_card(self, payment: Payment) -> Payment:
        """Give the subscription its verified card, with a new agreement."""
        async with self._database.acquire() as connection:
            case = await select_case(connection, _key_of(payment))
        if case is None:
            return payment
        summarized = replace(payment, subscription_summaries=(summarize_subscription(case.subscription),))
        if payment.status is not Status.SUCCESS:
            return summarized
        switched = switch_account(case.subscription, payment.source.account_id, _time_of(payment), _expiry_of(payment))
        switched = replace(switched, network_transaction_id=payment.network_transaction_id)
        return replace(summarized, subscription_changes=SubscriptionChanges(((switched, case),)))

    async def _forecast_void(self, payment: Payment) -> Payment:
        """Cancel the running subscriptions of a voided sign-up. A refund leaves them running."""
        async with self._database.acquire() as connection:
            keys = await select_keys_of_payments(connection, [(payment.merchant_id, payment.payment_id)])
            cases = await select_cases(connection, keys) if keys else {}
            changes = [(_cancel_voided(cases[key]), cases[key]) for key in sorted(cases)]
            ended = [LifecycleEvent(CANCELED, after, case.now, payment.request_id) for after, case in changes]
            events = await self._describe(connection, ended) if ended else ()
        return replace(payment, subscription_changes=SubscriptionChanges(tuple(changes), tuple(events)))


def _find_case_of_begin(payment: Payment) -> SubscriptionContext | None:
    """Return the subscription read at begin, if it decides the outcome: not for a failed attempt.

    The consequence of a failure depends on other declines of the card meanwhile.
    """
    renewing = payment.renewing
    if renewing is None or renewing.case is None or payment.status is Status.FAIL:
        return None
    case: SubscriptionContext = renewing.case
    return replace(case, subscription=replace(case.subscription, tries=renewing.number))


def _with_changes(payment: Payment, changes: Sequence[Change], events: Sequence[tuple[Any, ...]] = ()) -> Payment:
    """Return the payment with the first changed subscription in its response; while it is open nothing changes."""
    summarized = replace(payment, subscription_summaries=(summarize_subscription(changes[0][0]),))
    if payment.status is Status.PENDING:
        return summarized
    return replace(summarized, subscription_changes=SubscriptionChanges(tuple(changes), tuple(events)))


def _cancel_voided(case: SubscriptionContext) -> Subscription:
    return cancel(case, at=None, at_next_rebill=False, reason=VOIDED, tells_consumer=False)


async def _revoke_others(connection: PlainConnection, payment: Payment, subscription: Subscription) -> list[Change]:
    """Revoke the merchant's other subscriptions on a card whose cardholder stopped all payments."""
    if payment.status is not Status.FAIL or not _describe(payment).rule.takes_all_on_card:
        return []
    account_id = payment.renewing.account_id if payment.renewing else subscription.account_id
    keys = await select_keys_on_card(connection, replace(subscription, account_id=account_id))
    cases = await select_cases(connection, keys)
    return [(revoke(cases[key].subscription, _time_of(payment)), cases[key]) for key in sorted(cases)]


def summarize_subscription(subscription: Subscription) -> SubscriptionSummary:
    """Return the summary of a subscription for responses."""
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
    """Return the subscription after a renewal attempt. Pure. An open attempt changes nothing."""
    if payment.status is Status.PENDING:
        return case.subscription
    if payment.status is Status.SUCCESS:
        return pay(case.subscription, _time_of(payment), _expiry_of(payment))
    if payment.renewing and payment.renewing.account_id != case.subscription.account_id:
        return fail_on_old_account(case.subscription, _time_of(payment))
    return fail(case, _describe(payment))


def _describe(payment: Payment) -> Decline:
    return Decline(_time_of(payment), payment.code or "", payment.attempt.advice_code, payment.source.brand)


def _changes_of(payment: Payment) -> SubscriptionChanges:
    return payment.subscription_changes or SubscriptionChanges()


def _key_of(payment: Payment) -> Key:
    subscription_id = payment.renewing.subscription_id if payment.renewing else payment.changing
    return payment.merchant_id, subscription_id or 0


def _expiry_of(payment: Payment) -> Expiry:
    """Return the expiry of the charged card."""
    return Expiry(payment.source.expiry_month, payment.source.expiry_year)


def _time_of(payment: Payment) -> datetime:
    return payment.finished_at or payment.created_at
