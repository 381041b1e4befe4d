"""A sign-up that is voided ends its subscription: what was agreed on is undone. A refund leaves it running."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tollhouse.billing.lifecycle import cancel
from tollhouse.billing.model import CANCELED, LifecycleEvent
from tollhouse.billing.store import lock_cases, select_keys_of_payments, update_subscriptions
from tollhouse.payments.model import Mode, Payment, Status

if TYPE_CHECKING:
    from tollhouse.billing.tools import RecordEvents
    from tollhouse.storage.database import PlainConnection

REASON = "The sign-up was voided."


class EndVoided:
    """Follows: the void of a sign-up cancels the subscriptions that it began, at once, whatever call voided it."""

    rank = 33
    stands_alone = False

    def __init__(self, tell: RecordEvents) -> None:
        self._tell = tell

    def rows(self, payment: Payment) -> Sequence[Payment]:
        """Return the payment if it is a void that was carried out."""
        return (payment,) if payment.mode is Mode.VOID and payment.status is Status.SUCCESS else ()

    async def write(self, connection: PlainConnection, rows: Sequence[Payment]) -> None:
        """Cancel the subscriptions that the payments of a batch began, and record that they ended."""
        request_ids = {(payment.merchant_id, payment.payment_id): payment.request_id for payment in rows}
        cases = await lock_cases(connection, await select_keys_of_payments(connection, request_ids))
        happenings = []
        for key in sorted(cases):
            case = cases[key]
            if not case.subscription.state.is_running:  # ended while the lock was waited for
                continue
            ended = cancel(case, at=None, at_next_rebill=False, reason=REASON, tells_consumer=False)
            await update_subscriptions(connection, [ended], are_charging=case.is_charging)
            request_id = request_ids[ended.merchant_id, ended.payment_id]
            happenings.append(LifecycleEvent(CANCELED, ended, case.now, request_id))
        if happenings:
            await self._tell(connection, happenings)
