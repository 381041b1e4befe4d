"""Check that an answer is about the very request that was sent. Pure; for every connector.

A host that has its references mixed up, or a reference that is used a second time after a restore, answers for another
payment. Such an answer decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tollhouse.acquirers.model import PARTIAL, Approved, Declined, Unknown

if TYPE_CHECKING:
    from tollhouse.acquirers.model import Finding
    from tollhouse.kernel.money import Money


@dataclass(frozen=True, slots=True)
class Echo:
    """The parts of a request that its answer repeats. The amount is in minor units; None was not repeated."""

    reference: str
    amount_minor: int | None
    currency: str | None


def check_echo(finding: Finding, echo: Echo, *, reference: str, money: Money) -> Finding:
    """Return the finding, or Unknown where the answer repeats another reference, amount or currency than was asked.

    An approval or a decline has to repeat all three. What is said of a reference that the host never saw need not.
    """
    if echo.reference != reference:
        return Unknown("answer about another reference")
    if echo.amount_minor is None and echo.currency is None and not isinstance(finding, Approved | Declined):
        return finding
    if echo.currency != money.currency.code:
        return Unknown("answer about another currency")
    if not _is_amount_right(finding, echo.amount_minor, money):
        return Unknown("answer about another amount")
    return finding


def _is_amount_right(finding: Finding, amount_minor: int | None, money: Money) -> bool:
    """Tell whether the amount is the one that was asked, or of a partial approval a part of it."""
    if amount_minor is None:
        return False
    if isinstance(finding, Approved) and finding.response_code == PARTIAL:
        return amount_minor <= money.amount_minor
    return amount_minor == money.amount_minor
