"""Carry letters that are due: lease a batch, carry it with no connection held, record each outcome as it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import structlog

from tollhouse.notices.carrier import Carried, Delayed, Outcome, Refused
from tollhouse.notices.letter import build_letter
from tollhouse.notices.model import Email, State
from tollhouse.notices.schedule import choose_retry
from tollhouse.notices.store import ClaimedNotice, Ending, claim_notices, end_notices, release_notices
from tollhouse.storage.coalesce import Coalescer

if TYPE_CHECKING:
    from tollhouse.notices.carrier import MailTransport
    from tollhouse.storage.database import Database, PlainConnection

#: Letters of one connection to the mail server, and for how long nobody else takes them: longer than all of them may
#: need. A process that dies in between delays its letters by that much, and may repeat the one that was on its way.
BATCH = 20
LEASE = timedelta(minutes=15)
MAX_ERROR_LENGTH = 200

#: How long the outcome of a letter is kept while the database is away.
RECORD_TIMEOUT_SECONDS = 300.0

Recorder = Coalescer[Ending, None]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Batch:
    """Letters under one lease."""

    lease: UUID
    notices: Sequence[ClaimedNotice]


def make_recorder(database: Database) -> Recorder:
    """Return what records endings. A letter that has left is a fact: a database that is away is waited for."""

    async def record(connection: PlainConnection, endings: Sequence[Ending]) -> Sequence[None]:
        await end_notices(connection, endings)
        return [None] * len(endings)

    return Coalescer("letter outcomes", record, database, patience_seconds=RECORD_TIMEOUT_SECONDS)


async def claim_batch(database: Database) -> Batch | None:
    """Lease a batch of letters that are due, or return None. Raises DatabaseUnavailable."""
    lease = uuid4()
    async with database.transaction() as connection:
        notices = await claim_notices(connection, lease=lease, span=LEASE, most=BATCH)
    return Batch(lease, notices) if notices else None


async def carry_batch(
    batch: Batch, carrier: MailTransport, recorder: Recorder, *, is_stopping: Callable[[], bool] = lambda: False
) -> None:
    """Carry a batch, and record of each letter how it went before the next one is begun.

    A letter that breaks is tried again like one that was delayed, and given up like one.
    """
    written: list[tuple[ClaimedNotice, Email]] = []
    for notice in batch.notices:
        letter = _write(notice)
        if letter is None:
            await recorder.submit(_end(batch, notice, Delayed("internal")))
        else:
            written.append((notice, letter))
    async with aclosing(carrier.carry([letter for _, letter in written])) as outcomes:
        for notice, _ in written:
            if is_stopping():
                return
            await recorder.submit(_end(batch, notice, await anext(outcomes)))


async def release_batches(database: Database, batches: Sequence[Batch]) -> None:
    """Give back the letters of these batches that were not carried."""
    async with database.transaction() as connection:
        await release_notices(connection, [batch.lease for batch in batches])


async def deliver_due(database: Database, carrier: MailTransport) -> int:
    """Carry letters batch by batch until none is due, and return how many were tried. Raises DatabaseUnavailable."""
    recorder, total = make_recorder(database), 0
    while (batch := await claim_batch(database)) is not None:
        await carry_batch(batch, carrier, recorder)
        total += len(batch.notices)
    return total


def _write(notice: ClaimedNotice) -> Email | None:
    try:
        return build_letter(notice.read())
    except Exception:
        log.exception("letter.not_written", merchant_id=notice.merchant_id, notice_id=notice.notice_id)
        return None


def _end(batch: Batch, notice: ClaimedNotice, outcome: Outcome) -> Ending:
    """Decide what becomes of a letter."""
    key = (notice.merchant_id, notice.notice_id, batch.lease)
    if isinstance(outcome, Carried):
        return Ending(*key, State.SENT)
    error = outcome.text[:MAX_ERROR_LENGTH]
    delay = None if isinstance(outcome, Refused) else choose_retry(notice.attempts)
    if delay is None:
        log.warning("letter given up", merchant_id=notice.merchant_id, notice_id=notice.notice_id, error=error)
        return Ending(*key, State.FAILED, error)
    return Ending(*key, State.WAITING, error, delay)
