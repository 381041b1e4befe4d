"""Database access for emails."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from tollhouse.notices.model import EmailFacts, EmailState, Notice
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries, pick_fields
from tollhouse.storage.sweep import sweep_expired

queries = load_queries("tollhouse.notices")

#: Retention of an email after it was sent or given up.
KEPT = timedelta(days=30)
#: The bound for counting waiting emails.
MAX_COUNTED = 10_000


class NoticeRow(NamedTuple):
    """An email to store, about a transaction or about an event of a subscription."""

    merchant_id: int
    recipient: str
    language: str
    facts: EmailFacts
    transaction_id: int | None = None
    subscription_id: int | None = None
    occurred_at: datetime | None = None

    @property
    def columns(self) -> tuple[Any, ...]:
        """The columns of `email_v1`."""
        facts = json.dumps(self.facts.to_json())
        keys = (self.merchant_id, self.transaction_id, self.subscription_id, self.occurred_at)
        return (*keys, self.recipient, self.language, facts)


class StoredOutcome(NamedTuple):
    """The outcome of an attempt to send an email. A waiting email is retried after `delay`."""

    merchant_id: int
    notice_id: int
    lease: UUID
    state: EmailState
    error: str | None = None
    delay: timedelta | None = None


async def insert_notices(connection: PlainConnection, rows: Sequence[NoticeRow]) -> None:
    """Store emails."""
    await queries.insert_notices(connection, emails=[(place, *row.columns) for place, row in enumerate(rows, 1)])


@dataclass(frozen=True, slots=True)
class ClaimedNotice:
    """A leased email before parsing. One that cannot be parsed must not block the others of its batch."""

    merchant_id: int
    notice_id: int
    attempts: int
    row: Mapping[str, Any]

    def read(self) -> Notice:
        """Parse the email. Raises ValueError, TypeError or KeyError if its facts are invalid."""
        return _read_notice(self.row)


async def claim_notices(connection: PlainConnection, *, lease: UUID, span: timedelta, most: int) -> list[ClaimedNotice]:
    """Lease due emails."""
    rows = queries.claim_notices(connection, lease=lease, span=span, most=most)
    return [ClaimedNotice(row["merchant_id"], row["notice_id"], row["attempts"], dict(row)) async for row in rows]


async def release_notices(connection: PlainConnection, leases: Sequence[UUID]) -> None:
    """Release the emails under these leases without counting an attempt."""
    await queries.release_notices(connection, leases=leases)


async def record_outcomes(connection: PlainConnection, endings: Sequence[StoredOutcome]) -> None:
    """Record outcomes of emails whose leases are still held."""
    await queries.record_outcomes(
        connection,
        leases=[ending.lease for ending in endings],
        merchant_ids=[ending.merchant_id for ending in endings],
        notice_ids=[ending.notice_id for ending in endings],
        states=[ending.state.value for ending in endings],
        errors=[ending.error for ending in endings],
        delays=[ending.delay for ending in endings],
    )


async def select_recent_notices(connection: PlainConnection, *, merchant_id: int, most: int) -> list[Notice]:
    """Return a merchant's emails, newest first."""
    rows = queries.select_recent_notices(connection, merchant_id=merchant_id, most=most)
    return [_read_notice(row) async for row in rows]


async def select_notice(connection: PlainConnection, *, merchant_id: int, notice_id: int) -> Notice | None:
    """Return one of a merchant's emails, or None."""
    row = await queries.select_notice(connection, merchant_id=merchant_id, notice_id=notice_id)
    return _read_notice(row) if row else None


#: Emails past their retention.
SWEEPS = (sweep_expired("notice", "ended_at", kept=KEPT),)


async def count_waiting(connection: PlainConnection) -> int:
    """Count waiting emails, up to a bound."""
    count: int = await queries.count_waiting_notices(connection, most=MAX_COUNTED)
    return count


def _read_notice(row: Mapping[str, Any]) -> Notice:
    facts, state = EmailFacts.from_json(json.loads(row["facts"])), EmailState(row["state"])
    return Notice(**pick_fields(Notice, row) | {"facts": facts, "state": state})
