"""Count payments and declines by consumer, card and address, for the limits of `risk`.

Attempts are recorded and counted when their payments begin, declines with the outcome. Without limits nothing is
written or read. Only payments that a consumer began count: no renewals, captures or refunds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from tollhouse.payments.model import FinishRows, Mode, Payment, Status
from tollhouse.risk.assess import Kind, VelocityLimits
from tollhouse.storage.sweep import Sweep, sweep_expired


class VelocityMark(NamedTuple):
    """A counted key of one transaction: the columns of `velocity_mark_v1`."""

    merchant_id: int
    kind: Kind
    key: str
    transaction_id: int


def build_marks(payment: Payment) -> Sequence[VelocityMark]:
    """Return the marks of a payment; none if the consumer did not begin it."""
    if payment.mode not in {Mode.SALE, Mode.AUTH} or payment.initiator != "customer":
        return ()
    keys: dict[Kind, str] = {
        "consumer": payment.consumer_id,
        "card": payment.attempt.fingerprint.hex(),
        "address": payment.consumer_ip,
    }
    return [VelocityMark(payment.merchant_id, kind, key, payment.transaction_id) for kind, key in keys.items() if key]


class RecordDecline:
    """A finish hook that counts declines by the issuer against consumer, card and address. Blocks do not count."""

    kind = FinishRows.DECLINES

    def rows(self, payment: Payment) -> Sequence[VelocityMark]:
        """Return the marks of a payment that the issuer declined."""
        is_declined = payment.status is Status.FAIL and payment.attempt.response_code is not None
        return build_marks(payment) if is_declined else ()


def build_sweeps(limits: VelocityLimits) -> tuple[Sweep, ...]:
    """Return the sweep of marks that are older than the window. It runs without limits too."""
    return (sweep_expired("velocity_mark", "noted_at", kept=timedelta(seconds=limits.window_seconds)),)
