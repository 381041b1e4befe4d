"""Crediting: giving captured money back, all that is left of it or a part; or releasing what nobody has captured."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tollhouse.payments.operations.balance import ALL, Sum, judge_credit
from tollhouse.payments.operations.operate import OperationRequest, operate

if TYPE_CHECKING:
    from tollhouse.kernel.requests import Reply
    from tollhouse.payments.tools import Tools


async def credit(tools: Tools, wish: OperationRequest, wanted: Sum = ALL) -> Reply:
    """Credit a sale or a capture, all that is left of it unless an amount is given; void an authorization as a whole.

    Raises what `operate` raises.
    """
    return await operate(tools, wish, partial(judge_credit, wanted=wanted))
