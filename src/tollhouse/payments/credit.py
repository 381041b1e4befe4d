"""Crediting: giving captured money back, all that is left of it or a part."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from tollhouse.payments.operate import Wish, operate
from tollhouse.payments.position import judge_credit

if TYPE_CHECKING:
    from tollhouse.kernel.requests import Reply
    from tollhouse.payments.tools import Tools


async def credit(tools: Tools, wish: Wish, amount: Decimal | None = None) -> Reply:
    """Credit a sale or a capture, all that is left of it unless an amount is given. Raises what `operate` raises."""
    return await operate(tools, wish, partial(judge_credit, amount=amount))
