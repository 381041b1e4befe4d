"""Start subscriptions with a payment: pending from its begin, started or deleted by its finish.

A crash between the two loses nothing, because a payment and its subscriptions finish in one database transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tollhouse.billing.lifecycle import begin
from tollhouse.billing.model import Subscription, SubscriptionState
from tollhouse.billing.schedule import Plan
from tollhouse.billing.store import prices_to_json, subscription_row
from tollhouse.catalog.prices import sum_due_at_once
from tollhouse.kernel.card import Expiry
from tollhouse.payments.model import BeginRows, FinishRows, Payment, Status, Subscribing


class RecordSubscription:
    """A begin hook that inserts the subscriptions of a payment as pending."""

    kind = BeginRows.SUBSCRIPTIONS

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the subscriptions that the payment starts, as the columns of `pending_subscription_v1`."""
        return [_pending_row(payment, subscribing) for subscribing in payment.subscribing]


def _pending_row(payment: Payment, subscribing: Subscribing) -> tuple[Any, ...]:
    item = subscribing.item
    return (
        payment.merchant_id,
        subscribing.subscription_id,
        payment.payment_id,
        item.site_id,
        payment.consumer_id,
        payment.source.account_id,
        item.sku_name,
        item.title,
        prices_to_json(subscribing.prices),
        payment.created_at,
        _is_trial(subscribing),
        payment.created_at,
    )


class StartSubscriptions:
    """A finish hook that starts the subscriptions of an approved payment."""

    kind = FinishRows.SUBSCRIPTIONS

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the started subscriptions; an operation starts none."""
        if not payment.mode.is_first or payment.status is not Status.SUCCESS:
            return ()
        return [subscription_row(start(payment, each), is_charging=False) for each in payment.subscribing]


class DeletePendingSubscriptions:
    """A finish hook that deletes the pending subscriptions of a failed payment."""

    kind = FinishRows.FORGOTTEN_SUBSCRIPTIONS

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the keys of the subscriptions."""
        if not payment.mode.is_first or payment.status is not Status.FAIL:
            return ()
        return [(payment.merchant_id, each.subscription_id) for each in payment.subscribing]


def start(payment: Payment, subscribing: Subscribing) -> Subscription:
    """Return the subscription that an approved payment starts. Its schedule counts from the approval."""
    at = payment.finished_at or payment.created_at
    recorded = Subscription(
        merchant_id=payment.merchant_id,
        subscription_id=subscribing.subscription_id,
        payment_id=payment.payment_id,
        site_id=subscribing.item.site_id,
        consumer_id=payment.consumer_id,
        account_id=payment.source.account_id,
        sku_name=subscribing.item.sku_name,
        title=subscribing.item.title,
        state=SubscriptionState.PENDING,
        plan=Plan(subscribing.prices, at),
        next_period=1,
        tries=0,
        cycle=0,
        created_at=payment.created_at,
        began_as_trial=_is_trial(subscribing),
        renewal_at=None,
        charge_at=None,
        charged_at=None,
        paid_until=None,
        network_transaction_id=payment.network_transaction_id,
    )
    return begin(recorded, at, Expiry(payment.source.expiry_month, payment.source.expiry_year))


def _is_trial(subscribing: Subscribing) -> bool:
    return not sum_due_at_once(subscribing.prices).amount_minor
