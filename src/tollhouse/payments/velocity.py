"""Counting who pays how often, for the limits that `risk` judges by.

Attempts are recorded and counted as their payments begin, declines with the outcome. If nothing is limited, neither
is written nor read. Only what a customer began counts: no renewal, no capture, no credit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from tollhouse.payments.model import FinishRows, Mode, Payment, Status
from tollhouse.risk.model import Kind, VelocityLimits
from tollhouse.storage.queries import load_queries
from tollhouse.storage.sweep import Sweep

queries = load_queries("tollhouse.payments")


class VelocityMark(NamedTuple):
    """Something that is counted, at one transaction: the columns of `velocity_mark_v1`."""

    merchant_id: int
    kind: Kind
    key: str
    transaction_id: int


def build_marks(payment: Payment) -> Sequence[VelocityMark]:
    """Return what is counted of a payment: nothing of what no customer began."""
    if payment.mode not in {Mode.SALE, Mode.AUTH} or payment.initiator != "customer":
        return ()
    keys: dict[Kind, str] = {
        "consumer": payment.consumer_id,
        "card": payment.attempt.fingerprint.hex(),
        "address": payment.consumer_ip,
    }
    return [VelocityMark(payment.merchant_id, kind, key, payment.transaction_id) for kind, key in keys.items() if key]


class RecordDecline:
    """Counts a decline by the issuer against consumer, card and address. A block by our rules is only an attempt."""

    kind = FinishRows.DECLINES

    def rows(self, payment: Payment) -> Sequence[VelocityMark]:
        """Return the marks of a payment that the issuer declined."""
        is_declined = payment.status is Status.FAIL and payment.attempt.response_code is not None
        return build_marks(payment) if is_declined else ()


def build_sweeps(limits: VelocityLimits) -> tuple[Sweep, ...]:
    """Name what is older than the window; also where there are no limits any more."""
    window = {"window_seconds": limits.window_seconds}
    delete, select_lag = partial(queries.delete_old_marks, **window), partial(queries.select_marks_lag, **window)
    return (Sweep("velocity_mark", delete, select_lag),)
