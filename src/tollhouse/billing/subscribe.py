"""Subscriptions begin with a payment: recorded as pending with its intention, started or forgotten with its outcome.

So a crash between the two loses nothing: whoever settles the payment settles the subscription in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tollhouse.billing.lifecycle import begin
from tollhouse.billing.model import State, Subscription
from tollhouse.billing.schedule import Plan
from tollhouse.billing.store import prices_to_json, queries, update_subscriptions
from tollhouse.catalog.prices import sum_due_at_once
from tollhouse.kernel.card import Expiry
from tollhouse.payments.model import Payment, Status, Subscribing

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

#: A subscription that begins, with the payment that begins it.
Pair = tuple[Payment, Subscribing]


class RecordSubscription:
    """Prepares: the subscriptions are committed as pending with the payment's intention."""

    def rows(self, payment: Payment) -> Sequence[Pair]:
        """Return the subscriptions that the payment starts."""
        return [(payment, subscribing) for subscribing in payment.subscribing]

    async def write(self, connection: PlainConnection, rows: Sequence[Pair]) -> None:
        """Insert the pending subscriptions of a batch."""
        await queries.insert_subscriptions(
            connection,
            merchant_ids=[payment.merchant_id for payment, _ in rows],
            subscription_ids=[subscribing.subscription_id for _, subscribing in rows],
            payment_ids=[payment.payment_id for payment, _ in rows],
            site_ids=[subscribing.item.site_id for _, subscribing in rows],
            consumer_ids=[payment.consumer_id for payment, _ in rows],
            account_ids=[payment.source.account_id for payment, _ in rows],
            sku_names=[subscribing.item.sku_name for _, subscribing in rows],
            titles=[subscribing.item.title for _, subscribing in rows],
            prices=[prices_to_json(subscribing.prices) for _, subscribing in rows],
            anchors_at=[payment.created_at for payment, _ in rows],
            began_as_trial=[_is_trial(subscribing) for _, subscribing in rows],
            created_at=[payment.created_at for payment, _ in rows],
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
