"""Carrying what is due: lease, carry with no connection held, write down how it went."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from tollhouse.notices.carrier import Carried, Outcome, Refused
from tollhouse.notices.letter import build_letter
from tollhouse.notices.model import Notice, State
from tollhouse.notices.schedule import choose_retry
from tollhouse.notices.store import Ending, claim_notices, end_notices

if TYPE_CHECKING:
    from tollhouse.notices.carrier import Carrier
    from tollhouse.storage.database import Database

#: Letters that are carried at a time, and for how long nobody else takes them: longer than all of them may need. A
#: process that dies in between delays its letters by that much, and sends again what it had sent.
BATCH = 20
#: Batches, and so connections to the mail server, at a time.
LANES = 4
LEASE = timedelta(minutes=15)
LONGEST_ERROR = 200

log = structlog.get_logger()


async def deliver_due(database: Database, carrier: Carrier) -> int:
    """Carry letters that are due: a batch, and when it was full several at a time until none is due.

    Returns how many were tried. Raises DatabaseUnavailable.
    """
    first = await _deliver_batch(database, carrier)
    if first < BATCH:
        return first
    lanes = (_deliver_batches(database, carrier) for _ in range(LANES))
    counts = await asyncio.gather(*lanes, return_exceptions=True)
    for count in counts:
        if isinstance(count, BaseException):
            raise count
        first += count
    return first


async def _deliver_batches(database: Database, carrier: Carrier) -> int:
    """Carry one batch after the other until none is due."""
    total = 0
    while count := await _deliver_batch(database, carrier):
        total += count
    return total


async def _deliver_batch(database: Database, carrier: Carrier) -> int:
    """Carry one batch."""
    lease = uuid4()
    async with database.transaction() as connection:
        notices = await claim_notices(connection, lease=lease, span=LEASE, most=BATCH)
    if not notices:
        return 0
    outcomes = await carrier.carry([build_letter(notice) for notice in notices])
    endings = [_end(notice, outcome) for notice, outcome in zip(notices, outcomes, strict=True)]
    async with database.transaction() as connection:
        await end_notices(connection, endings, lease=lease)
    return len(notices)


def _end(notice: Notice, outcome: Outcome) -> Ending:
    """Decide what becomes of a letter."""
    if isinstance(outcome, Carried):
        return Ending(notice.merchant_id, notice.notice_id, State.SENT)
    error = outcome.text[:LONGEST_ERROR]
    delay = None if isinstance(outcome, Refused) else choose_retry(notice.attempts)
    if delay is None:
        log.warning("letter given up", merchant_id=notice.merchant_id, notice_id=notice.notice_id, error=error)
        return Ending(notice.merchant_id, notice.notice_id, State.FAILED, error)
    return Ending(notice.merchant_id, notice.notice_id, State.WAITING, error, delay)
