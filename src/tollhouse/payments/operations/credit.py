"""Crediting: giving captured money back, all that is left of it or a part; or releasing what nobody has captured."""

from __future__ import annotations

from functools import partial

from tollhouse.kernel.requests import Reply
from tollhouse.payments.dependencies import OperationDependencies
from tollhouse.payments.operations.balance import ALL, Sum, judge_credit
from tollhouse.payments.operations.operate import OperationRequest, operate


async def credit(deps: OperationDependencies, wish: OperationRequest, wanted: Sum = ALL) -> Reply:
    """Credit a sale or a capture, all that is left of it unless an amount is given; void an authorization as a whole.

    Raises what `operate` raises.
    """
    return await operate(deps, wish, partial(judge_credit, wanted=wanted))
