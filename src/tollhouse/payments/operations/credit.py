"""Refund captured money, all that is left or a part; or release an uncaptured authorization."""

from __future__ import annotations

from functools import partial

from tollhouse.kernel.reply import Reply
from tollhouse.payments.dependencies import OperationDependencies
from tollhouse.payments.operations.balance import ALL, RequestedAmount, decide_refund
from tollhouse.payments.operations.operate import OperationRequest, operate


async def credit(deps: OperationDependencies, request: OperationRequest, requested: RequestedAmount = ALL) -> Reply:
    """Refund a sale or a capture, all that is left unless an amount is given; void an authorization as a whole.

    Raises as `operate` does.
    """
    return await operate(deps, request, partial(decide_refund, requested=requested))
