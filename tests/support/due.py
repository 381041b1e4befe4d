"""Do at once what loops of the worker do as it falls due."""

from __future__ import annotations

from tollhouse.notices.send import build_recorder, claim_batch, send_batch
from tollhouse.notices.transport import MailTransport
from tollhouse.payments.dependencies import AttemptDependencies
from tollhouse.storage.database import Database
from tollhouse.worker.payments import build_reversal_work
from tollhouse.worker.queue import LeasedQueue


async def send_due_emails(database: Database, transport: MailTransport) -> int:
    """Send due emails batch by batch, and return the number of attempts. Raises DatabaseUnavailable."""
    recorder, total = build_recorder(database), 0
    while (batch := await claim_batch(database)) is not None:
        await send_batch(batch, transport, recorder)
        total += len(batch.notices)
    return total


async def reverse_due(deps: AttemptDependencies) -> int:
    """Process due references, and return their number."""
    return await LeasedQueue(build_reversal_work(deps)).empty()
