"""Subscriptions begin with a payment: recorded as pending with its intention, started or forgotten with its outcome.

So a crash between the two loses nothing: whoever settles the payment settles the subscription in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tollhouse.billing.lifecycle import begin
from tollhouse.billing.model import State, Subscription
from tollhouse.billing.schedule import Plan
from tollhouse.billing.store import prices_to_json, queries, update_subscriptions
from tollhouse.catalog.prices import sum_due_at_once
from tollhouse.kernel.card import Expiry
from tollhouse.payments.model import BeginRows, Payment, Status, Subscribing

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

#: A subscription that begins, with the payment that begins it.
Pair = tuple[Payment, Subscribing]


class RecordSubscription:
    """Prepares: the subscriptions are committed as pending with the payment's intention."""

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


class SettleSubscription:
    """Follows: an approved payment starts its subscriptions, a failed one forgets them."""

    rank = 30
    stands_alone = False

    def rows(self, payment: Payment) -> Sequence[Pair]:
        """Return the subscriptions that the payment starts; what is done with it later neither starts nor ends one."""
        return [(payment, subscribing) for subscribing in payment.subscribing if payment.mode.is_first]

    async def write(self, connection: PlainConnection, rows: Sequence[Pair]) -> None:
        """Start or forget the subscriptions of a batch, in the order of their keys."""
        ordered = sorted(rows, key=lambda pair: (pair[0].merchant_id, pair[1].subscription_id))
        started = [start(*pair) for pair in ordered if pair[0].status is Status.SUCCESS]
        failed = [pair for pair in ordered if pair[0].status is Status.FAIL]
        await update_subscriptions(connection, started)
        if failed:
            await queries.delete_subscriptions(
                connection,
                merchant_ids=[payment.merchant_id for payment, _ in failed],
                subscription_ids=[subscribing.subscription_id for _, subscribing in failed],
            )


def start(payment: Payment, subscribing: Subscribing) -> Subscription:
    """Return the subscription that an approved payment starts. Its schedule counts from the approval."""
    at = payment.settled_at or payment.created_at
    recorded = Subscription(
        merchant_id=payment.merchant_id,
        subscription_id=subscribing.subscription_id,
        payment_id=payment.payment_id,
        site_id=subscribing.item.site_id,
        consumer_id=payment.consumer_id,
        account_id=payment.source.account_id,
        sku_name=subscribing.item.sku_name,
        title=subscribing.item.title,
        state=State.PENDING,
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
