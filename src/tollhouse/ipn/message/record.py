"""Record one event for each finished transaction, rendered, in the database transaction that finishes it.

A transaction has at most one event of each status. The database enforces that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tollhouse.ipn.form import Condition, choose_condition, choose_format
from tollhouse.ipn.message.legacy import build_xml
from tollhouse.payments.model import FinishRows, Payment
from tollhouse.payments.reading.public_names import name_event, name_transaction
from tollhouse.payments.reading.view import render_event
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries

queries = load_queries("tollhouse.ipn")


class EventRow(NamedTuple):
    """An event to be numbered and delivered, about a transaction or a subscription.

    Its fields are the columns of `event_v1`. An event whose condition is false is recorded without a URL.
    """

    merchant_id: int
    payment_id: int | None
    transaction_id: int | None
    subscription_id: int | None
    site_id: int
    kind: str
    status: str
    url: str
    format: str
    body: bytes
    legacy_xml: bytes | None
    request_id: str
    condition: Condition | None = None
    answer_length: int | None = None


class RecordEvent:
    """A finish hook that records one event for each finished transaction."""

    kind = FinishRows.EVENTS

    def rows(self, payment: Payment) -> Sequence[EventRow]:
        """Return the event about a finished payment. Its kind is the transaction's public mode.

        If the site does not want it, it is recorded without a URL.
        """
        step = payment.dispute.step if payment.dispute else None
        kind, status = name_event(payment.mode, step), name_transaction(payment.mode, payment.status, step).status
        chosen = choose_format(payment.ipn_format, kind, status)
        row = EventRow(
            merchant_id=payment.merchant_id,
            payment_id=payment.payment_id,
            transaction_id=payment.transaction_id,
            subscription_id=None,
            site_id=payment.site_id,
            kind=kind,
            status=status,
            url=payment.ipn_url if chosen else "",
            format=chosen or "json",
            body=render_event(payment),
            legacy_xml=build_xml(payment) if chosen in {"legacy", "both"} else None,
            request_id=payment.request_id,
            condition=choose_condition(payment.ipn_format, kind) if chosen else None,
            answer_length=len(payment.rendered) - 1 if payment.rendered else None,
        )
        return (row,)


async def insert_events(connection: PlainConnection, rows: Sequence[EventRow]) -> None:
    """Record events, in the database transaction that causes them."""
    await queries.insert_events(connection, events=[(place, *row) for place, row in enumerate(rows, 1)])
