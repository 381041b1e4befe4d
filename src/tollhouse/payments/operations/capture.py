"""Capture all or part of an authorization; the rest is released at once."""

from __future__ import annotations

from functools import partial

from tollhouse.kernel.reply import Reply
from tollhouse.payments.dependencies import OperationDependencies
from tollhouse.payments.operations.balance import ALL, RequestedAmount, decide_capture
from tollhouse.payments.operations.operate import OperationRequest, operate


async def capture(deps: OperationDependencies, request: OperationRequest, requested: RequestedAmount = ALL) -> Reply:
    """Capture an authorization, all of it unless an amount is given. Raises as `operate` does."""
    return await operate(deps, request, partial(decide_capture, requested=requested))
