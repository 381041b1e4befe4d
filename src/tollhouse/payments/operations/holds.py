"""Authorizations that wait: captured when their price says so, released when their time is over.

A hold is a row from the approval of an authorization to its capture or void, written and deleted by the transactions
that settle these. Workers lease what is due. The lease spares work and no more: that an authorization is captured once
is seen to where operations begin (`payments.operate`), whoever comes twice.
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
from tollhouse.kernel.ids import new_request_id
from tollhouse.payments.dependencies import OperationDependencies
from tollhouse.payments.faults import PaymentRejected
from tollhouse.payments.model import Cause, FinishRows, Holding, Mode, Payment, Status
from tollhouse.payments.operations.capture import capture
from tollhouse.payments.operations.operate import OperationRequest
from tollhouse.payments.operations.void import release
from tollhouse.payments.store import queries
from tollhouse.storage.database import PlainConnection

#: Until a capture or release is tried again whose outcome is open, or that did not reach the acquirer.
PAUSES_SECONDS = (60.0, 600.0, 3_600.0)
LATER_PAUSES_SECONDS = 21_600.0
#: A release that did not come off so often is given up: the issuer has let go by itself long ago.
MAX_TRIES = 20

#: Failures that say nothing about the authorization: the same may come off another time.
INDECISIVE = frozenset({codes.ACQUIRER_UNREACHABLE, codes.REVERSED})

#: Of an authorization that was approved before its terms said how long it holds.
UNSAID = Holding(capture_after_days=None, valid_days=7)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DueHold:
    """An authorization as a worker leased it. `is_expired` is told by the merchant's clock, which is so far ahead."""

    merchant_id: int
    transaction_id: int
    lease: int
    tries: int
    capture_at: datetime | None
    is_expired: bool
    is_merchant_active: bool
    clock_offset: timedelta


class TrackHold:
    """Opens the hold of an approved authorization, and closes that of a captured or voided one."""

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
    holding, at = payment.holding or UNSAID, floor_second(payment.settled_at or payment.created_at)
    key = (payment.merchant_id, payment.transaction_id, payment.payment_id)
    return (*key, "opened", at, _days(holding.capture_after_days), _days(holding.valid_days))


def _choose_change(operation: Payment) -> str | None:
    """Return what an operation does to the hold; None if it leaves it as it is."""
    if _is_over(operation):
        return "closed"
    return "not_captured" if _is_declined_capture(operation) else None


def _is_over(operation: Payment) -> bool:
    """Tell whether an operation ends the hold: one that was done, or the last release that the issuer refuses."""
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
    """Take authorizations that are due; nobody else gets them before the lease ends."""
    async with deps.database.transaction() as connection:
        rows = queries.lease_due_holds(connection, limit=limit, lease_seconds=lease_seconds)
        due = [DueHold(**row) async for row in rows]
    for hold in due:
        deps.attempts.clock.observe_offset(hold.merchant_id, hold.clock_offset)
    return due


async def select_next_hold(connection: PlainConnection, merchant_id: int) -> datetime | None:
    """Return when the next of a merchant's authorizations falls due, in its time."""
    due_at: datetime | None = await queries.select_next_hold(connection, merchant_id=merchant_id)
    return due_at


async def select_holds_busy(connection: PlainConnection, merchant_id: int, *, due_by: datetime) -> bool:
    """Tell whether any of a merchant's authorizations was due by a moment of its time, or is in somebody's hands."""
    return bool(await queries.select_holds_busy(connection, merchant_id=merchant_id, due_by=due_by))


async def process_due_hold(deps: OperationDependencies, hold: DueHold) -> None:
    """Capture or release a leased authorization, and look at it again later if it is there still.

    A disabled merchant's captures wait, and its authorizations are released when their time is over.
    """
    try:
        if hold.is_expired:
            await release(deps, _wish(hold, Mode.VOID, Cause.EXPIRY))
        elif hold.capture_at is not None and hold.is_merchant_active:
            await capture(deps, _wish(hold, Mode.CAPTURE, Cause.SCHEDULE))
    except RequestInProgress:
        log.info("hold.postponed", transaction_id=hold.transaction_id)
    except PaymentRejected as error:  # what it waited for was done in another way, and its row is about to go
        log.warning(
            "hold.processing_failed", transaction_id=hold.transaction_id, faults=[fault.text for fault in error.faults]
        )
    await _look_again(deps, hold)


def _wish(hold: DueHold, mode: Mode, cause: Cause) -> OperationRequest:
    return OperationRequest(hold.merchant_id, hold.transaction_id, new_request_id(), mode, cause=cause)


async def _look_again(deps: OperationDependencies, hold: DueHold) -> None:
    """Put the hold off, unless it is gone or somebody else has leased it since; give up what never comes off."""
    key = {"merchant_id": hold.merchant_id, "transaction_id": hold.transaction_id, "lease": hold.lease}
    async with deps.database.acquire() as connection:
        if hold.is_expired and hold.tries >= MAX_TRIES:
            log.error("hold.given_up", transaction_id=hold.transaction_id, tries=hold.tries)
            await queries.delete_hold(connection, **key)
        else:
            await queries.postpone_hold(connection, **key, pause_seconds=pause_after(hold.tries))


def pause_after(tries: int) -> float:
    """Return how long to wait before an authorization is looked at again."""
    return PAUSES_SECONDS[tries] if tries < len(PAUSES_SECONDS) else LATER_PAUSES_SECONDS
