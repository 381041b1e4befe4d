"""Reverse references that were finished without the acquirer's response, or against it.

A request may be delayed beyond every time-out, and an approval may arrive after the payment was reported as failed. The
reported outcome stays. The reference is reversed until the acquirer acknowledges that, and is queried again later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog

from tollhouse.acquirers.model import Acquirer, Approved, Declined, Finding, ReferenceUnknown, Reversed
from tollhouse.kernel import codes
from tollhouse.kernel.money import Currency, Money
from tollhouse.payments.dependencies import AttemptDependencies
from tollhouse.payments.model import AttemptState, Payment
from tollhouse.payments.store import queries
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import pick_fields

#: Between inquiries about one attempt; later ones come every five minutes.
FIRST_INQUIRY_INTERVALS_SECONDS = (10.0, 60.0)
LATER_INQUIRY_INTERVAL_SECONDS = 300.0

#: Real time of the inquiries after a reversal: an hour and a day.
INQUIRY_INTERVALS_SECONDS = (3_600.0, 86_400.0)

log = structlog.get_logger()


class ReversalReason(StrEnum):
    """The reason to reverse a reference."""

    NOT_FOUND = "not_found"
    REVERSED = "reversed"
    LATE_APPROVAL = "late_approval"


@dataclass(frozen=True, slots=True)
class DueReversal:
    """A reference that is due to be reversed, or to be queried after its reversal. `version` fences its result."""

    merchant_id: int
    transaction_id: int
    number: int
    acquirer: str
    reference: str
    money: Money
    reason: ReversalReason
    is_acknowledged: bool
    inquiries: int
    tries: int
    version: int


@dataclass(frozen=True, slots=True)
class LateApprovals:
    """The number of late approvals, and of those that are not reversed yet."""

    found: int
    unreversed: int


def choose_inquiry_interval(inquiries: int) -> float:
    """Return the seconds until the next inquiry about an attempt."""
    is_later = inquiries >= len(FIRST_INQUIRY_INTERVALS_SECONDS)
    return LATER_INQUIRY_INTERVAL_SECONDS if is_later else FIRST_INQUIRY_INTERVALS_SECONDS[inquiries]


def choose_reversal_reason(finished: Payment) -> ReversalReason | None:
    """Return the reason to reverse a finished attempt, or None if the acquirer's response finished it."""
    state = finished.attempt.state
    if state is AttemptState.REVERSED:
        return ReversalReason.REVERSED
    is_unfound = state is AttemptState.DECLINED and finished.code == codes.ACQUIRER_UNREACHABLE
    return ReversalReason.NOT_FOUND if is_unfound else None


def report_late_approval(approved: Payment, stored: Payment) -> None:
    """Log an approval of an attempt that was finished otherwise. Its reversal is committed."""
    attempt = approved.attempt
    is_same = stored.attempt.number == attempt.number and stored.attempt.state in _HARMLESS
    if attempt.state is AttemptState.APPROVED and not is_same:
        _log_late_approval(approved.transaction_id, attempt.number, attempt.acquirer)


#: The approval is stored, or the attempt is still open and will be queried.
_HARMLESS = frozenset({AttemptState.APPROVED, AttemptState.UNKNOWN, AttemptState.IN_FLIGHT})


def _log_late_approval(transaction_id: int, number: int, acquirer: str) -> None:
    log.error("payment.approved_late", transaction_id=transaction_id, attempt=number, acquirer=acquirer)


async def count_late_approvals(connection: PlainConnection) -> LateApprovals:
    """Count late approvals."""
    row = await queries.select_late_approvals(connection)
    return LateApprovals(row["found"], row["unreversed"])


async def lease_due_reversals(deps: AttemptDependencies, *, limit: int, lease_seconds: float) -> list[DueReversal]:
    """Lease due references. No other process gets them before the lease ends."""
    async with deps.database.transaction() as connection:
        rows = queries.lease_due_reversals(connection, limit=limit, lease_seconds=lease_seconds)
        return [_read(row) async for row in rows]


async def process_reversal(deps: AttemptDependencies, due: DueReversal) -> None:
    """Reverse a due reference, or query it if it is reversed; record the result or try again later."""
    acquirer = deps.acquirers.get(due.acquirer)
    if acquirer is None:
        log.error("acquirer.not_configured", acquirer=due.acquirer, transaction_id=due.transaction_id)
        await _postpone(deps, due, LATER_INQUIRY_INTERVAL_SECONDS)
    elif acquirer.can_reverse and not due.is_acknowledged:
        await _reverse(deps, acquirer, due)
    else:
        await _inquire(deps, acquirer, due)


async def _reverse(deps: AttemptDependencies, acquirer: Acquirer, due: DueReversal) -> None:
    finding = await acquirer.reverse(due.reference, due.money)
    _log_result(due, finding)
    if not isinstance(finding, Reversed):
        await _postpone(deps, due, choose_inquiry_interval(due.tries))
        return
    async with deps.database.acquire() as connection:
        await queries.update_reversal_acknowledged(connection, **_key(due), next_seconds=_next_inquiry(due.inquiries))


async def _inquire(deps: AttemptDependencies, acquirer: Acquirer, due: DueReversal) -> None:
    """Query the acquirer about a reversed reference; if it cannot be queried, reverse it again."""
    can_inquire = acquirer.resolves_by == "inquire"
    ask = acquirer.inquire if can_inquire else acquirer.reverse
    finding = await ask(due.reference, due.money)
    _log_result(due, finding)
    if isinstance(finding, Reversed | ReferenceUnknown | Declined):
        async with deps.database.acquire() as connection:
            seconds = _next_inquiry(due.inquiries + 1)
            await queries.update_reversal_inquired(connection, **_key(due), next_seconds=seconds)
    elif isinstance(finding, Approved) and (due.is_acknowledged or due.reason is not ReversalReason.LATE_APPROVAL):
        await _reopen(deps, due, finding)
    else:
        await _postpone(deps, due, LATER_INQUIRY_INTERVAL_SECONDS)


async def _reopen(deps: AttemptDependencies, due: DueReversal, approval: Approved) -> None:
    """Record a late approval. Its reversal is due next."""
    _log_late_approval(due.transaction_id, due.number, due.acquirer)
    async with deps.database.acquire() as connection:
        await queries.update_reversal_approved(connection, **_key(due), approval_code=approval.approval_code)


async def _postpone(deps: AttemptDependencies, due: DueReversal, seconds: float) -> None:
    async with deps.database.acquire() as connection:
        await queries.postpone_reversal(connection, **_key(due), seconds=seconds)


def _next_inquiry(inquiries: int) -> float | None:
    """Return the seconds from the first reversal to the next inquiry; None after the last."""
    return INQUIRY_INTERVALS_SECONDS[inquiries] if inquiries < len(INQUIRY_INTERVALS_SECONDS) else None


def _log_result(due: DueReversal, finding: Finding) -> None:
    log.info(
        "reversal.tried",
        transaction_id=due.transaction_id,
        attempt=due.number,
        reason=due.reason,
        is_acknowledged=due.is_acknowledged,
        finding=type(finding).__name__.lower(),
    )


def _key(due: DueReversal) -> dict[str, int]:
    return {
        "merchant_id": due.merchant_id,
        "transaction_id": due.transaction_id,
        "number": due.number,
        "version": due.version,
    }


def _read(row: Mapping[str, Any]) -> DueReversal:
    return DueReversal(
        **pick_fields(DueReversal, row)
        | {
            "money": Money(row["amount_minor"], Currency.of(row["currency"])),
            "reason": ReversalReason(row["reason"]),
            "is_acknowledged": row["acknowledged_at"] is not None,
        }
    )
