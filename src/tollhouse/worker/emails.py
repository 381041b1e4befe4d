"""Run the loop that sends emails: some batches at a time, each over one connection to the mail server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tollhouse.notices.send import Batch, build_recorder, claim_batch, release_batches, send_batch
from tollhouse.notices.transport import MailTransport
from tollhouse.storage.database import Database
from tollhouse.worker.queue import Count, LeasedQueue, RunningPiece, Work, ignore_count
from tollhouse.worker.run import Beat, ignore_beat

#: Batches, and so connections to the mail server, at a time.
MAX_BATCHES = 4
#: Between two leases while no email is due: a receipt may take a second.
MAX_POLL_INTERVAL_SECONDS = 1.0
#: For emails being sent when the process stops.
DRAIN_TIMEOUT_SECONDS = 2.0


async def send_emails(
    database: Database,
    mail_transport: MailTransport,
    *,
    stop: asyncio.Event,
    beat: Beat = ignore_beat,
    count: Count = ignore_count,
) -> None:
    """Send emails as they fall due, until `stop` is set, which is checked between two emails."""
    recorder = build_recorder(database)

    async def lease(under_way: Sequence[RunningPiece[Batch]]) -> Sequence[Batch]:
        batch = await claim_batch(database) if len(under_way) < MAX_BATCHES else None
        return (batch,) if batch else ()

    async def handle(batch: Batch) -> None:
        await send_batch(batch, mail_transport, recorder, is_stopping=stop.is_set)
        if stop.is_set():
            await release_batches(database, [batch])

    work = Work(
        "carry letters",
        lease=lease,
        handle=handle,
        release=lambda batches: release_batches(database, batches),
        idle_seconds=MAX_POLL_INTERVAL_SECONDS,
    )
    await LeasedQueue(work, drain_seconds=DRAIN_TIMEOUT_SECONDS, count=count).run(stop=stop, beat=beat)
