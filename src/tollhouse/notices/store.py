"""Rows of letters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from tollhouse.notices.model import Facts, Notice, State
from tollhouse.storage.queries import load_queries
from tollhouse.storage.sweep import Sweep

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

queries = load_queries("tollhouse.notices")

#: How long a letter is kept after it was carried or given up.
KEPT = timedelta(days=30)
#: As far as waiting letters are counted.
MAX_COUNTED = 10_000


class NoticeRow(NamedTuple):
    """A letter to be written down, about a transaction, or about what happened to a subscription at a time."""

    merchant_id: int
    recipient: str
    language: str
    facts: Facts
    transaction_id: int | None = None
    subscription_id: int | None = None
    occurred_at: datetime | None = None

    @property
    def columns(self) -> tuple[Any, ...]:
        """The columns of `email_v1`."""
        facts = json.dumps(self.facts.to_json())
        keys = (self.merchant_id, self.transaction_id, self.subscription_id, self.occurred_at)
        return (*keys, self.recipient, self.language, facts)


class Ending(NamedTuple):
    """How it went with a letter. A waiting one is tried again after `delay`."""

    merchant_id: int
    notice_id: int
    lease: UUID
    state: State
    error: str | None = None
    delay: timedelta | None = None


async def insert_notices(connection: PlainConnection, rows: Sequence[NoticeRow]) -> None:
    """Write letters down."""
    await queries.insert_notices(connection, emails=[(place, *row.columns) for place, row in enumerate(rows, 1)])


@dataclass(frozen=True, slots=True)
class ClaimedNotice:
    """A letter that was leased, not read yet: one that cannot be read must not keep the others of its batch."""

    merchant_id: int
    notice_id: int
    attempts: int
    row: Mapping[str, Any]

    def read(self) -> Notice:
        """Read it. Raises ValueError, TypeError or KeyError if its facts are broken."""
        return _read_notice(self.row)


async def claim_notices(connection: PlainConnection, *, lease: UUID, span: timedelta, most: int) -> list[ClaimedNotice]:
    """Lease letters that are due."""
    rows = queries.claim_notices(connection, lease=lease, span=span, most=most)
    return [ClaimedNotice(row["merchant_id"], row["notice_id"], row["attempts"], dict(row)) async for row in rows]


async def release_notices(connection: PlainConnection, leases: Sequence[UUID]) -> None:
    """Give back the letters under these leases, as if they had not been tried."""
    await queries.release_notices(connection, leases=leases)


async def end_notices(connection: PlainConnection, endings: Sequence[Ending]) -> None:
    """Write down how it went, as far as the leases still hold."""
    await queries.end_notices(
        connection,
        leases=[ending.lease for ending in endings],
        merchant_ids=[ending.merchant_id for ending in endings],
        notice_ids=[ending.notice_id for ending in endings],
        states=[ending.state.value for ending in endings],
        errors=[ending.error for ending in endings],
        delays=[ending.delay for ending in endings],
    )


async def select_recent_notices(connection: PlainConnection, *, merchant_id: int, most: int) -> list[Notice]:
    """Return a merchant's letters, newest first."""
    rows = queries.select_recent_notices(connection, merchant_id=merchant_id, most=most)
    return [_read_notice(row) async for row in rows]


async def select_notice(connection: PlainConnection, *, merchant_id: int, notice_id: int) -> Notice | None:
    """Return one of a merchant's letters, or None."""
    row = await queries.select_notice(connection, merchant_id=merchant_id, notice_id=notice_id)
    return _read_notice(row) if row else None


#: Letters that nobody needs any more.
SWEEPS = (
    Sweep("notice", partial(queries.delete_ended_notices, kept=KEPT), partial(queries.select_notices_lag, kept=KEPT)),
)


async def count_waiting(connection: PlainConnection) -> int:
    """Count the letters that wait, no further than to a bound."""
    count: int = await queries.count_waiting_notices(connection, most=MAX_COUNTED)
    return count


def _read_notice(row: Mapping[str, Any]) -> Notice:
    return Notice(
        merchant_id=row["merchant_id"],
        notice_id=row["notice_id"],
        recipient=row["recipient"],
        language=row["language"],
        facts=Facts.from_json(json.loads(row["facts"])),
        state=State(row["state"]),
        attempts=row["attempts"],
        created_at=row["created_at"],
        due_at=row["due_at"],
        age=row["age"],
        error=row["error"],
    )
