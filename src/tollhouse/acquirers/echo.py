"""Check that a response belongs to the request that was sent. Every connector uses this.

A host with mixed-up references, or a reference that is reused after a restore, may respond about another payment. Such
a response decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from tollhouse.acquirers.model import PARTIAL, Approved, Declined, Finding, Unknown
from tollhouse.kernel.money import Money


@dataclass(frozen=True, slots=True)
class Echo:
    """The parts of a request that its response repeats. The amount is in minor units. None was not repeated."""

    reference: str
    amount_minor: int | None
    currency: str | None


def check_echo(finding: Finding, echo: Echo, *, reference: str, money: Money) -> Finding:
    """Return the outcome, or Unknown if the response repeats a different reference, amount or currency.

    An approval or a decline must repeat all three. A response about an unknown reference need not.
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
    """Return whether the amount is the requested one, or part of it for a partial approval."""
    if amount_minor is None:
        return False
    if isinstance(finding, Approved) and finding.response_code == PARTIAL:
        return amount_minor <= money.amount_minor
    return amount_minor == money.amount_minor
