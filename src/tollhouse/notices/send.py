"""Send due emails: lease a batch, send it without a database connection, and record each outcome at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import structlog

from tollhouse.notices.model import Email, EmailState
from tollhouse.notices.render import render_email
from tollhouse.notices.store import ClaimedNotice, StoredOutcome, claim_notices, record_outcomes, release_notices
from tollhouse.notices.transport import EmailDelayed, EmailRejected, EmailSent, MailTransport, Outcome
from tollhouse.storage.coalesce import Coalescer
from tollhouse.storage.database import Database, PlainConnection

#: Emails of one connection to the mail server, and the duration of their lease, which exceeds the time that all of them
#: may need. A process that dies in between delays its emails by this time, and may repeat the one being sent.
BATCH = 20
LEASE = timedelta(minutes=15)
MAX_ERROR_LENGTH = 200

#: The longest time that an outcome is retained while the database is unavailable.
RECORD_TIMEOUT_SECONDS = 300.0

Recorder = Coalescer[StoredOutcome, None]

log = structlog.get_logger()
#: Delays after the first attempt, the second, and so on: two days in all. A later receipt is of no use.
DELAYS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 3 * 60, 6 * 60, 12 * 60, 24 * 60))


@dataclass(frozen=True, slots=True)
class Batch:
    """Emails under one lease."""

    lease: UUID
    notices: Sequence[ClaimedNotice]


def build_recorder(database: Database) -> Recorder:
    """Return a recorder of outcomes. It waits for an unavailable database, because a sent email is a fact."""

    async def record(connection: PlainConnection, endings: Sequence[StoredOutcome]) -> Sequence[None]:
        await record_outcomes(connection, endings)
        return [None] * len(endings)

    return Coalescer("email outcomes", record, database, timeout_seconds=RECORD_TIMEOUT_SECONDS)


async def claim_batch(database: Database) -> Batch | None:
    """Lease a batch of due emails, or return None. Raises DatabaseUnavailable."""
    lease = uuid4()
    async with database.transaction() as connection:
        notices = await claim_notices(connection, lease=lease, span=LEASE, most=BATCH)
    return Batch(lease, notices) if notices else None


async def send_batch(
    batch: Batch, transport: MailTransport, recorder: Recorder, *, is_stopping: Callable[[], bool] = lambda: False
) -> None:
    """Send a batch, and record the outcome of each email before the next one is started.

    An email that fails with an exception is retried, and given up in the end, like a delayed one.
    """
    written: list[tuple[ClaimedNotice, Email]] = []
    for notice in batch.notices:
        email = _render(notice)
        if email is None:
            await recorder.submit(_store_outcome(batch, notice, EmailDelayed("internal")))
        else:
            written.append((notice, email))
    async with aclosing(transport.send_emails([email for _, email in written])) as outcomes:
        for notice, _ in written:
            if is_stopping():
                return
            await recorder.submit(_store_outcome(batch, notice, await anext(outcomes)))


async def release_batches(database: Database, batches: Sequence[Batch]) -> None:
    """Release the emails of these batches that were not sent."""
    async with database.transaction() as connection:
        await release_notices(connection, [batch.lease for batch in batches])


def _render(notice: ClaimedNotice) -> Email | None:
    try:
        return render_email(notice.read())
    except Exception:
        log.exception("email.render_failed", merchant_id=notice.merchant_id, notice_id=notice.notice_id)
        return None


def _store_outcome(batch: Batch, notice: ClaimedNotice, outcome: Outcome) -> StoredOutcome:
    """Return the stored outcome of an attempt to send an email."""
    key = (notice.merchant_id, notice.notice_id, batch.lease)
    if isinstance(outcome, EmailSent):
        return StoredOutcome(*key, EmailState.SENT)
    error = outcome.text[:MAX_ERROR_LENGTH]
    delay = None if isinstance(outcome, EmailRejected) else choose_retry(notice.attempts)
    if delay is None:
        log.warning("email.given_up", merchant_id=notice.merchant_id, notice_id=notice.notice_id, error=error)
        return StoredOutcome(*key, EmailState.FAILED, error)
    return StoredOutcome(*key, EmailState.WAITING, error, delay)


def choose_retry(attempts: int) -> timedelta | None:
    """Return the delay after this number of attempts, or None to give up."""
    return DELAYS[attempts - 1] if attempts <= len(DELAYS) else None
