"""A connector that approves everything in process, for benchmarks and stage. It moves no money and stores nothing.

Its responses follow from the reference alone, so that an inquiry after a crash gets the same outcome.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

from tollhouse.acquirers.model import (
    AccountQuery,
    AcquirerDispute,
    AcquirerOperation,
    Answer,
    Approved,
    Authorization,
    DisputeQuery,
    Finding,
    Reversed,
    Unchanged,
    Update,
)
from tollhouse.kernel.money import Money


class ApprovingAcquirer:
    """A connector that approves every request at once."""

    name = "approving"
    resolves_by: Literal["inquire", "reverse"] = "inquire"
    can_reverse = True
    timeout_seconds = 1.0
    longest_delay_seconds = 0.0

    async def authorize(self, order: Authorization) -> Answer:
        """Approve."""
        return _approve(order.reference)

    async def capture(self, operation: AcquirerOperation) -> Answer:
        """Approve."""
        return _approve(operation.reference)

    async def void(self, operation: AcquirerOperation) -> Answer:
        """Approve."""
        return _approve(operation.reference)

    async def credit(self, operation: AcquirerOperation) -> Answer:
        """Approve."""
        return _approve(operation.reference)

    async def inquire(self, reference: str, money: Money) -> Finding:
        """Return an approval of the reference."""
        del money
        return _approve(reference)

    async def reverse(self, reference: str, money: Money) -> Finding:
        """Confirm the reversal: there is nothing to undo."""
        del reference, money
        return Reversed()

    async def update_account(self, query: AccountQuery) -> Update:
        """Report no change, because it knows no cards."""
        del query
        return Unchanged()

    async def list_disputes(self, query: DisputeQuery) -> tuple[AcquirerDispute, ...]:
        """Report no disputes, because it has no issuers."""
        del query
        return ()

    async def acknowledge_disputes(self, dispute_ids: Sequence[str]) -> bool:
        """Confirm the acknowledgment."""
        del dispute_ids
        return True


def _approve(reference: str) -> Approved:
    digest = hashlib.blake2b(reference.encode(), digest_size=10).digest()
    return Approved(digest[:3].hex().upper(), f"{int.from_bytes(digest[3:]) % 10**15:015d}")
