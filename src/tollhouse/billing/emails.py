"""Emails about subscriptions that the merchant canceled, if the merchant requested them.

An email is inserted in the database transaction that ends the subscription, and so once for each cancellation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tollhouse.billing.model import CANCELED, LifecycleEvent
from tollhouse.billing.store import select_email_terms
from tollhouse.notices.model import DEFAULT_LANGUAGE, EmailFacts, NoticeKind, Recipient, read_recipient
from tollhouse.notices.store import NoticeRow, insert_notices
from tollhouse.storage.database import PlainConnection


async def insert_emails(connection: PlainConnection, lifecycle_events: Sequence[LifecycleEvent]) -> None:
    """Insert the emails for events of subscriptions; the worker sends them."""
    summarized = [each for each in lifecycle_events if each.kind == CANCELED and each.subscription.tells_consumer]
    if not summarized:
        return
    terms = await select_email_terms(connection, [each.subscription.key for each in summarized])
    rows = [_build_row(each, terms[each.subscription.key]) for each in summarized]
    await insert_notices(connection, [row for row in rows if row is not None])


def _build_row(lifecycle_event: LifecycleEvent, terms: Mapping[str, Any]) -> NoticeRow | None:
    """Return the email, or None without a valid address."""
    subscription = lifecycle_event.subscription
    recipient = choose_recipient(
        json.loads(terms["terms"]).get("recipient"), json.loads(terms["consumer"]), shop=terms["shop"]
    )
    if recipient is None:
        return None
    at = subscription.cancel_at or lifecycle_event.at
    return NoticeRow(
        subscription.merchant_id,
        recipient.to,
        recipient.language,
        EmailFacts(
            kind=NoticeKind.CANCELLATION,
            shop=recipient.shop or terms["descriptor"],
            title=subscription.title,
            descriptor=terms["descriptor"] or terms["shop"],
            order_id=str(subscription.payment_id),
            subscription_id=str(subscription.subscription_id),
            at=at,
        ),
        subscription_id=subscription.subscription_id,
        occurred_at=at,
    )


def choose_recipient(given: Mapping[str, str] | None, consumer: Mapping[str, Any], *, shop: str) -> Recipient | None:
    """Return the recipient: that of the sign-up's receipts, else its consumer; None without a valid address. Pure."""
    if given is not None:
        return Recipient(given["to"], given["language"], shop)
    to = read_recipient(consumer.get("email"))
    if to is None:
        return None
    return Recipient(to, consumer.get("browserLanguage") or DEFAULT_LANGUAGE, shop)
