"""Subscriptions begin with a payment: recorded as pending with its intention, started or forgotten with its outcome.

So a crash between the two loses nothing: whoever settles the payment settles the subscription in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from tollhouse.catalog.model import price_to_json
from tollhouse.catalog.prices import first_renewal, sum_due_at_once
from tollhouse.payments.model import Payment, Status, Subscribing
from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

queries = load_queries("tollhouse.billing")


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
            prices=[
                msgspec.json.encode([price_to_json(price) for price in subscribing.prices]).decode()
                for _, subscribing in rows
            ],
            anchors_at=[payment.created_at for payment, _ in rows],
        )


class SettleSubscription:
    """Follows: an approved payment starts its subscriptions, a failed one forgets them."""

    rank = 30

    def rows(self, payment: Payment) -> Sequence[Pair]:
        """Return the subscriptions that the payment starts; what is done with it later neither starts nor ends one."""
        return [(payment, subscribing) for subscribing in payment.subscribing if payment.mode.is_first]

    async def write(self, connection: PlainConnection, rows: Sequence[Pair]) -> None:
        """Start or forget the subscriptions of a batch, in the order of their keys."""
        ordered = sorted(rows, key=lambda pair: (pair[0].merchant_id, pair[1].subscription_id))
        started = [pair for pair in ordered if pair[0].status is Status.SUCCESS]
        failed = [pair for pair in ordered if pair[0].status is Status.FAIL]
        if started:
            await self._start(connection, started)
        if failed:
            await queries.delete_subscriptions(
                connection,
                merchant_ids=[payment.merchant_id for payment, _ in failed],
                subscription_ids=[subscribing.subscription_id for _, subscribing in failed],
            )

    async def _start(self, connection: PlainConnection, started: Sequence[Pair]) -> None:
        anchors = [payment.settled_at or payment.created_at for payment, _ in started]
        await queries.start_subscriptions(
            connection,
            merchant_ids=[payment.merchant_id for payment, _ in started],
            subscription_ids=[subscribing.subscription_id for _, subscribing in started],
            statuses=[
                "active" if sum_due_at_once(subscribing.prices).amount_minor else "trial" for _, subscribing in started
            ],
            anchors_at=anchors,
            renewals_at=[
                first_renewal(subscribing.prices, anchor)
                for (_, subscribing), anchor in zip(started, anchors, strict=True)
            ],
        )
