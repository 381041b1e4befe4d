"""Reverse approvals of part of the amount, because the merchant requested all of it."""

from __future__ import annotations

from typing import TypeVar

from tollhouse.acquirers.model import PARTIAL, Acquirer, Answer, Approved, Declined, Finding, Reversed, Unknown
from tollhouse.kernel.money import Money

Outcome = TypeVar("Outcome", bound="Answer | Finding")


async def reverse_partial_approval(
    acquirer: Acquirer, reference: str, money: Money, outcome: Outcome
) -> Outcome | Declined | Unknown:
    """Reverse an approval of part of the amount and return a decline; unknown while it is not acknowledged.

    Every other outcome is returned as it is.
    """
    if not (isinstance(outcome, Approved) and outcome.response_code == PARTIAL):
        return outcome
    if isinstance(await acquirer.reverse(reference, money), Reversed):
        return Declined(PARTIAL)
    return Unknown("a partial approval was not taken back yet")
