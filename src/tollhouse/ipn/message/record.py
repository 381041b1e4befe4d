"""An event for every final fact about a transaction, written in the transaction that makes it so, its body rendered.

A transaction has one event of each status at most: the database sees to that, whoever records it twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from tollhouse.ipn.form import Condition, choose_condition, choose_format
from tollhouse.ipn.message.legacy import build_xml
from tollhouse.payments.model import Payment
from tollhouse.payments.reading.public_names import name_event, name_transaction
from tollhouse.payments.reading.view import render_event
from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

queries = load_queries("tollhouse.ipn")


class EventRow(NamedTuple):
    """An event to be numbered and delivered: about a transaction or about a subscription.

    One whose condition does not hold is recorded all the same, without a URL.
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


class RecordEvent:
    """One event per final fact; none for what is pending."""

    rank = 90
    stands_alone = True

    def rows(self, payment: Payment) -> Sequence[EventRow]:
        """Return the event about a settled payment. Its kind is the transaction's public mode.

        One that the site does not want is recorded all the same, without a URL.
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
        )
        return (row,)

    async def write(self, connection: PlainConnection, rows: Sequence[EventRow]) -> None:
        """Insert the events of a batch."""
        await insert_events(connection, rows)


async def insert_events(connection: PlainConnection, rows: Sequence[EventRow]) -> None:
    """Insert events, in the transaction that made the facts."""
    rows = [row._replace(url="") if is_dropped else row for row, is_dropped in await _find_dropped(connection, rows)]
    await queries.insert_events(
        connection,
        merchant_ids=[row.merchant_id for row in rows],
        payment_ids=[row.payment_id for row in rows],
        transaction_ids=[row.transaction_id for row in rows],
        subscription_ids=[row.subscription_id for row in rows],
        site_ids=[row.site_id for row in rows],
        kinds=[row.kind for row in rows],
        statuses=[row.status for row in rows],
        urls=[row.url for row in rows],
        formats=[row.format for row in rows],
        bodies=[row.body for row in rows],
        legacy_xmls=[row.legacy_xml for row in rows],
        request_ids=[row.request_id for row in rows],
    )


async def _find_dropped(connection: PlainConnection, rows: Sequence[EventRow]) -> list[tuple[EventRow, bool]]:
    """Return the rows, each with whether its condition does not hold. First transactions have none: nothing is read."""
    spent = await _find_spent(connection, [row for row in rows if row.condition == "nothing_left"])
    asked = await _find_asked(connection, [row for row in rows if row.condition == "asked_for"])
    return [
        (
            row,
            (row.condition == "nothing_left" and (row.merchant_id, row.payment_id) not in spent)
            or (row.condition == "asked_for" and (row.merchant_id, row.site_id, row.kind) not in asked),
        )
        for row in rows
    ]


async def _find_spent(connection: PlainConnection, rows: Sequence[EventRow]) -> set[tuple[int, int | None]]:
    """Return the payments of which nothing is left, locked: of two refunds at once the second sees the first."""
    if not rows:
        return set()
    keys = {"merchant_ids": [row.merchant_id for row in rows], "payment_ids": [row.payment_id for row in rows]}
    async for _ in queries.lock_payments(connection, **keys):
        pass
    found = queries.select_spent_payments(connection, **keys)
    return {(row["merchant_id"], row["payment_id"]) async for row in found}


async def _find_asked(connection: PlainConnection, rows: Sequence[EventRow]) -> set[tuple[int, int, str]]:
    """Return the kinds of events that sites have asked for."""
    if not rows:
        return set()
    found = queries.select_extra_events(
        connection, merchant_ids=[row.merchant_id for row in rows], site_ids=[row.site_id for row in rows]
    )
    return {(row["merchant_id"], row["site_id"], row["kind"]) async for row in found}
