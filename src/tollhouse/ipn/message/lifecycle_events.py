"""Build events about subscriptions: canceled at once or at a date, recovered, ended, and a card that expires soon.

All but the last have a `payment` object with action and mode `cancel`, an amount of 0 and a transaction ID of their
own, so that they are signed like all others. They are always recorded, and posted unless the site has disabled them.
Only the JSON form can express them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from tollhouse.billing.model import (
    CANCELED,
    CARD_EXPIRING,
    DELAYED,
    EXPIRED,
    RECOVERED,
    EndReason,
    LifecycleEvent,
    LifecycleEventKind,
)
from tollhouse.billing.outcomes import summarize_subscription
from tollhouse.ipn.form import CANCEL, choose_condition, choose_format
from tollhouse.ipn.message.record import EventRow, insert_events, queries
from tollhouse.payments.reading.view import CONSUMER_FIELDS, build_subscription_block
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.ids import ID_STEP, reserve_ids
from tollhouse.wire.answers import CancelBlock, CardEvent, ConsumerBlock, SubscriptionEvent
from tollhouse.wire.render import build_moment, build_timestamp, render, render_date

CancelStatus = Literal["canceled", "delayed", "recovered"]

#: A subscription has the status `canceled` for every reason of its end.
STATUSES: Mapping[LifecycleEventKind, CancelStatus] = {
    CANCELED: "canceled",
    EXPIRED: "canceled",
    DELAYED: "delayed",
    RECOVERED: "recovered",
}

#: The default reason of a cancellation.
DEFAULT_REASON = "canceled by the merchant"


async def record_lifecycle_events(connection: PlainConnection, lifecycle_events: Sequence[LifecycleEvent]) -> None:
    """Record events about subscriptions, in the database transaction that changes these."""
    await insert_events(connection, await build_event_rows(connection, lifecycle_events))


async def build_event_rows(connection: PlainConnection, lifecycle_events: Sequence[LifecycleEvent]) -> list[EventRow]:
    """Build events about subscriptions from their first payments and sites."""
    if not lifecycle_events:
        return []
    rows = queries.select_subscription_terms(
        connection,
        merchant_ids=[lifecycle_event.subscription.merchant_id for lifecycle_event in lifecycle_events],
        subscription_ids=[lifecycle_event.subscription.subscription_id for lifecycle_event in lifecycle_events],
    )
    terms = {(row["merchant_id"], row["subscription_id"]): row async for row in rows}
    cards = [each for each in lifecycle_events if each.kind == CARD_EXPIRING]
    cancels = [each for each in lifecycle_events if each.kind != CARD_EXPIRING]
    events = [_build_card_row(each, terms[each.subscription.key]) for each in cards]
    if cancels:
        # On this connection: a caller that holds one must not wait for a second.
        first = await reserve_ids(connection, "object", len(cancels))
        ids = itertools.count(first, ID_STEP)
        events += [_build_cancel_row(each, terms[each.subscription.key], transaction_id=next(ids)) for each in cancels]
    return events


def _build_cancel_row(lifecycle_event: LifecycleEvent, terms: Mapping[str, Any], *, transaction_id: int) -> EventRow:
    subscription, status = lifecycle_event.subscription, STATUSES[lifecycle_event.kind]
    is_wanted = terms["subscription_events"] and choose_format(terms["ipn_format"], CANCEL, status)
    return EventRow(
        merchant_id=subscription.merchant_id,
        payment_id=terms["last_payment_id"],
        transaction_id=transaction_id,
        subscription_id=subscription.subscription_id,
        site_id=subscription.site_id,
        kind=CANCEL,
        status=status,
        url=terms["ipn_url"] if is_wanted else "",
        format="json",
        body=render_cancel(lifecycle_event, terms, transaction_id=transaction_id),
        legacy_xml=None,
        request_id=lifecycle_event.request_id,
    )


def _build_card_row(lifecycle_event: LifecycleEvent, terms: Mapping[str, Any]) -> EventRow:
    subscription = lifecycle_event.subscription
    status = subscription.state.value
    chosen = choose_format(terms["ipn_format"], lifecycle_event.kind, status)
    return EventRow(
        merchant_id=subscription.merchant_id,
        payment_id=None,
        transaction_id=None,
        subscription_id=subscription.subscription_id,
        site_id=subscription.site_id,
        kind=lifecycle_event.kind,
        status=status,
        url=terms["ipn_url"] if chosen else "",
        format="json",
        body=render_card(lifecycle_event, terms),
        legacy_xml=None,
        request_id=lifecycle_event.request_id,
        condition=choose_condition(terms["ipn_format"], lifecycle_event.kind) if chosen else None,
    )


def render_cancel(lifecycle_event: LifecycleEvent, terms: Mapping[str, Any], *, transaction_id: int) -> bytes:
    """Render the event about the end or the recovery of a subscription. Pure."""
    payment = CancelBlock(
        status=STATUSES[lifecycle_event.kind],
        reason=_explain(lifecycle_event, terms["last_decline"]),
        currency=lifecycle_event.subscription.plan.prices[0].money.currency.code,
        orderId=str(terms["last_payment_id"]),
        transactionId=str(transaction_id),
        timestamp=build_moment(lifecycle_event.at),
    )
    return render(SubscriptionEvent(payment=payment, **_build_blocks(lifecycle_event, terms)))


def render_card(lifecycle_event: LifecycleEvent, terms: Mapping[str, Any]) -> bytes:
    """Render the event about the card of a subscription. Pure."""
    return render(CardEvent(event=CARD_EXPIRING, **_build_blocks(lifecycle_event, terms)))


def _explain(lifecycle_event: LifecycleEvent, last_decline: str | None) -> str | None:
    """Return the reason for the end of a subscription, or None if it was recovered."""
    subscription = lifecycle_event.subscription
    if lifecycle_event.kind == RECOVERED:
        return None
    if lifecycle_event.kind in {CANCELED, DELAYED}:
        return subscription.cancel_reason or DEFAULT_REASON
    if subscription.ended_with is EndReason.FINISHED:
        return "all charges were made"
    if subscription.ended_with is EndReason.REVOKED:
        return "stopped by the cardholder"
    code = lifecycle_event.declined_with or last_decline
    return f"rebill declined, {code}" if code else "rebill declined"


def _build_blocks(lifecycle_event: LifecycleEvent, terms: Mapping[str, Any]) -> dict[str, Any]:
    """Build the blocks that all events about subscriptions have."""
    consumer = json.loads(terms["consumer"])
    block = build_subscription_block(summarize_subscription(lifecycle_event.subscription))
    known = {name: value for name, value in consumer.items() if name in CONSUMER_FIELDS}
    return {
        "subscription": block.model_copy(update={"eventTime": render_date(lifecycle_event.at), "timezone": "+00:00"}),
        "consumer": ConsumerBlock(
            id=lifecycle_event.subscription.consumer_id, externalId=consumer.get("externalId"), **known
        ),
        "metadata": msgspec.Raw(terms["metadata"].encode()),
        "timestamp": build_timestamp(lifecycle_event.at),
    }
