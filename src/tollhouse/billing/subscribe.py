"""Subscriptions begin with a payment: recorded as pending with its intention, started or forgotten with its outcome.

So a crash between the two loses nothing: whoever settles the payment settles the subscription in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from tollhouse.catalog.model import price_to_json
from tollhouse.catalog.prices import first_renewal
from tollhouse.payments.model import Payment, Status
from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

queries = load_queries("tollhouse.billing")


class RecordSubscription:
    """Prepares: the subscription is committed as pending with the payment's intention."""

    def rows(self, payment: Payment) -> Sequence[Payment]:
        """Return the payment when it starts a subscription."""
        return (payment,) if payment.subscribing else ()

    async def write(self, connection: PlainConnection, rows: Sequence[Payment]) -> None:
        """Insert the pending subscriptions of a batch."""
        pairs = [(payment, payment.subscribing) for payment in rows if payment.subscribing]
        await queries.insert_subscriptions(
            connection,
            merchant_ids=[payment.merchant_id for payment, _ in pairs],
            subscription_ids=[subscribing.subscription_id for _, subscribing in pairs],
            payment_ids=[payment.payment_id for payment, _ in pairs],
            site_ids=[payment.site_id for payment, _ in pairs],
            consumer_ids=[payment.consumer_id for payment, _ in pairs],
            account_ids=[payment.source.account_id for payment, _ in pairs],
            sku_names=[payment.sku_name for payment, _ in pairs],
            prices=[
                msgspec.json.encode([price_to_json(price) for price in subscribing.prices]).decode()
                for _, subscribing in pairs
            ],
            anchors_at=[payment.created_at for payment, _ in pairs],
        )


class SettleSubscription:
    """Follows: an approved payment starts its subscription, a failed one forgets it."""

    rank = 30

    def rows(self, payment: Payment) -> Sequence[Payment]:
        """Return the payment when it starts a subscription."""
        return (payment,) if payment.subscribing else ()

    async def write(self, connection: PlainConnection, rows: Sequence[Payment]) -> None:
        """Start or forget the subscriptions of a batch, in the order of their keys."""
        ordered = sorted(rows, key=lambda payment: (payment.merchant_id, payment.payment_id))
        started = [payment for payment in ordered if payment.status is Status.SUCCESS]
        failed = [payment for payment in ordered if payment.status is Status.FAIL]
        if started:
            await self._start(connection, started)
        if failed:
            await queries.delete_subscriptions(
                connection,
                merchant_ids=[payment.merchant_id for payment in failed],
                subscription_ids=[_id_of(payment) for payment in failed],
            )

    async def _start(self, connection: PlainConnection, started: Sequence[Payment]) -> None:
        anchors = [payment.settled_at or payment.created_at for payment in started]
        await queries.start_subscriptions(
            connection,
            merchant_ids=[payment.merchant_id for payment in started],
            subscription_ids=[_id_of(payment) for payment in started],
            statuses=["active" if payment.money.amount_minor else "trial" for payment in started],
            anchors_at=anchors,
            renewals_at=[
                first_renewal(payment.subscribing.prices, anchor)
                for payment, anchor in zip(started, anchors, strict=True)
                if payment.subscribing
            ],
        )


def _id_of(payment: Payment) -> int:
    return payment.subscribing.subscription_id if payment.subscribing else 0
