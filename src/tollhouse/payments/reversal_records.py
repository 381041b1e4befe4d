"""Columns of reversals. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tollhouse.payments.steps import FinishRecord


def columns_of_reversals(batch: Sequence[FinishRecord]) -> dict[str, list[Any]]:
    """Return the columns of `insert_reversals` for the moves that ask for one."""
    return _columns_of_references(batch) | {"reasons": [move.reversal for move in batch]}


def columns_of_late_approvals(batch: Sequence[FinishRecord]) -> dict[str, list[Any]]:
    """Return the columns of `insert_late_approvals`."""
    codes = [move.payment.attempt.approval_code for move in batch]
    return _columns_of_references(batch) | {"approval_codes": codes}


def _columns_of_references(batch: Sequence[FinishRecord]) -> dict[str, list[Any]]:
    return {
        "merchant_ids": [move.payment.merchant_id for move in batch],
        "transaction_ids": [move.payment.transaction_id for move in batch],
        "numbers": [move.payment.attempt.number for move in batch],
        "acquirers": [move.payment.attempt.acquirer for move in batch],
        "references": [move.payment.attempt.reference for move in batch],
    }
