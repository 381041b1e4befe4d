"""Capture or release uncaptured authorizations when they are due.

A hold is a row that exists from the approval of an authorization to its capture or void; the finish of these writes and
deletes it. Workers lease due holds. The lease only saves work: `payments.operations.operate` makes sure that an
authorization is captured once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from tollhouse.kernel import codes
from tollhouse.kernel.clock import floor_second
from tollhouse.kernel.errors import RequestInProgress
from tollhouse.kernel.faults import RequestRejected
from tollhouse.kernel.ids import new_request_id
from tollhouse.payments.dependencies import OperationDependencies
from tollhouse.payments.model import Cause, FinishRows, Holding, Mode, Payment, Status
from tollhouse.payments.operations.operate import OperationRequest, capture
from tollhouse.payments.operations.void import release
from tollhouse.payments.store import queries
from tollhouse.storage.database import PlainConnection

#: Until a capture or release is tried again that has an open outcome or did not reach the acquirer.
FIRST_RETRY_INTERVALS_SECONDS = (60.0, 600.0, 3_600.0)
LATER_RETRY_INTERVAL_SECONDS = 21_600.0
#: A release is given up after so many failures: by then the issuer has released the amount itself.
MAX_TRIES = 20

#: Failures that say nothing about the authorization: another try may succeed.
INDECISIVE = frozenset({codes.ACQUIRER_UNREACHABLE, codes.REVERSED})

#: For an authorization whose terms contain none.
DEFAULT_TERMS = Holding(capture_after_days=None, valid_days=7)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DueHold:
    """A leased hold. `is_expired` is by merchant time, which is ahead of real time by `clock_offset`."""

    merchant_id: int
    transaction_id: int
    lease: int
    tries: int
    capture_at: datetime | None
    is_expired: bool
    is_merchant_active: bool
    clock_offset: timedelta


class TrackHold:
    """A finish hook that opens the hold of an approved authorization, and closes that of a captured or voided one."""

    kind = FinishRows.HOLDS

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the change that the payment makes to a hold, as the columns of `hold_change_v1`."""
        if payment.mode is Mode.AUTH:
            is_held = payment.status is Status.SUCCESS and payment.money.amount_minor > 0
            return (_opened(payment),) if is_held else ()
        basis = payment.basis
        if payment.mode not in {Mode.CAPTURE, Mode.VOID} or basis is None or basis.mode is not Mode.AUTH:
            return ()
        change = _choose_change(payment)
        row = (payment.merchant_id, basis.transaction_id, payment.payment_id, change, None, None, None)
        return (row,) if change else ()


def _opened(payment: Payment) -> tuple[Any, ...]:
    holding, at = payment.holding or DEFAULT_TERMS, floor_second(payment.finished_at or payment.created_at)
    key = (payment.merchant_id, payment.transaction_id, payment.payment_id)
    return (*key, "opened", at, _days(holding.capture_after_days), _days(holding.valid_days))


def _choose_change(operation: Payment) -> str | None:
    """Return the change that an operation makes to the hold; None if it makes none."""
    if _is_over(operation):
        return "closed"
    return "not_captured" if _is_declined_capture(operation) else None


def _is_over(operation: Payment) -> bool:
    """Return whether an operation ends the hold: a success, or the last release if the issuer declines it."""
    if operation.status is Status.SUCCESS:
        return True
    by_expiry = operation.basis is not None and operation.basis.cause is Cause.EXPIRY
    return by_expiry and operation.code not in INDECISIVE


def _is_declined_capture(operation: Payment) -> bool:
    is_failed = operation.mode is Mode.CAPTURE and operation.status is Status.FAIL
    return is_failed and operation.code not in INDECISIVE


def _days(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(days=count)


async def lease_due_holds(deps: OperationDependencies, *, limit: int, lease_seconds: float) -> list[DueHold]:
    """Lease due holds. No other process gets them before the lease ends."""
    async with deps.database.transaction() as connection:
        rows = queries.lease_due_holds(connection, limit=limit, lease_seconds=lease_seconds)
        due = [DueHold(**row) async for row in rows]
    for hold in due:
        deps.attempts.clock.observe_offset(hold.merchant_id, hold.clock_offset)
    return due


async def select_next_hold(connection: PlainConnection, merchant_id: int) -> datetime | None:
    """Return the merchant time at which the next hold of a merchant falls due."""
    due_at: datetime | None = await queries.select_next_hold(connection, merchant_id=merchant_id)
    return due_at


async def select_holds_busy(connection: PlainConnection, merchant_id: int, *, due_by: datetime) -> bool:
    """Return whether any hold of a merchant was due by a merchant time, or is leased."""
    return bool(await queries.select_holds_busy(connection, merchant_id=merchant_id, due_by=due_by))


async def process_due_hold(deps: OperationDependencies, hold: DueHold) -> None:
    """Capture or release a leased hold; postpone it if it still exists.

    Captures of a disabled merchant wait; its authorizations are released when they expire.
    """
    try:
        if hold.is_expired:
            await release(deps, _build_request(hold, Mode.VOID, Cause.EXPIRY))
        elif hold.capture_at is not None and hold.is_merchant_active:
            await capture(deps, _build_request(hold, Mode.CAPTURE, Cause.SCHEDULE))
    except RequestInProgress:
        log.info("hold.postponed", transaction_id=hold.transaction_id)
    except RequestRejected as error:  # it was captured or voided otherwise, and its row is about to be deleted
        log.warning(
            "hold.processing_failed", transaction_id=hold.transaction_id, faults=[fault.text for fault in error.faults]
        )
    await _postpone_or_delete(deps, hold)


def _build_request(hold: DueHold, mode: Mode, cause: Cause) -> OperationRequest:
    return OperationRequest(hold.merchant_id, hold.transaction_id, new_request_id(), mode, cause=cause)


async def _postpone_or_delete(deps: OperationDependencies, hold: DueHold) -> None:
    """Postpone the hold if the lease is still valid; delete it after too many failed releases."""
    key = {"merchant_id": hold.merchant_id, "transaction_id": hold.transaction_id, "lease": hold.lease}
    async with deps.database.acquire() as connection:
        if hold.is_expired and hold.tries >= MAX_TRIES:
            log.error("hold.given_up", transaction_id=hold.transaction_id, tries=hold.tries)
            await queries.delete_hold(connection, **key)
        else:
            await queries.postpone_hold(connection, **key, pause_seconds=choose_retry_interval(hold.tries))


def choose_retry_interval(tries: int) -> float:
    """Return the seconds until a hold is processed again."""
    return (
        FIRST_RETRY_INTERVALS_SECONDS[tries]
        if tries < len(FIRST_RETRY_INTERVALS_SECONDS)
        else LATER_RETRY_INTERVAL_SECONDS
    )
