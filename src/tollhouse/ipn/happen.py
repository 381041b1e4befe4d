"""Events about subscriptions without a payment: cancelled, recovered, expired, a card that expires soon.

They are always recorded, and posted where their site asks for them. Only the JSON form has words for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tollhouse.billing.model import Happening
from tollhouse.billing.settle import stand
from tollhouse.ipn.form import choose_format
from tollhouse.ipn.record import EventRow, insert_events, queries
from tollhouse.payments.view import CONSUMER_FIELDS, build_subscription_block
from tollhouse.wire.answers import ConsumerBlock, SubscriptionEvent
from tollhouse.wire.render import build_timestamp, render, render_date

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection


async def record_happenings(connection: PlainConnection, happenings: Sequence[Happening]) -> None:
    """Record events about subscriptions, in the transaction that made them so."""
    if not happenings:
        return
    rows = queries.select_subscription_terms(
        connection,
        merchant_ids=[happening.subscription.merchant_id for happening in happenings],
        subscription_ids=[happening.subscription.subscription_id for happening in happenings],
    )
    terms = {(row["merchant_id"], row["subscription_id"]): row async for row in rows}
    await insert_events(connection, [_build_row(each, terms[each.subscription.key]) for each in happenings])


def _build_row(happening: Happening, terms: Mapping[str, Any]) -> EventRow:
    subscription = happening.subscription
    chosen = choose_format(terms["ipn_format"], happening.kind) if terms["subscription_events"] else None
    return EventRow(
        merchant_id=subscription.merchant_id,
        payment_id=None,
        transaction_id=None,
        subscription_id=subscription.subscription_id,
        site_id=subscription.site_id,
        kind=happening.kind,
        status=subscription.state.value,
        url=terms["ipn_url"] if chosen else "",
        format="json",
        body=render_happening(happening, consumer=json.loads(terms["consumer"]), metadata=terms["metadata"]),
        legacy_xml=None,
        request_id=happening.request_id,
    )


def render_happening(happening: Happening, *, consumer: Mapping[str, Any], metadata: str) -> bytes:
    """Write the body of an event about a subscription. Pure."""
    block = build_subscription_block(stand(happening.subscription))
    known = {name: value for name, value in consumer.items() if name in CONSUMER_FIELDS}
    return render(
        SubscriptionEvent(
            event=happening.kind,
            subscription=block.model_copy(update={"eventTime": render_date(happening.at), "timezone": "+00:00"}),
            consumer=ConsumerBlock(
                id=happening.subscription.consumer_id, externalId=consumer.get("externalId"), **known
            ),
            metadata=msgspec.Raw(metadata.encode()),
            timestamp=build_timestamp(happening.at),
        )
    )
