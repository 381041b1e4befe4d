"""Posting: the entries of settled movements, in the transaction that settles them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tollhouse.ledger.model import Movement
from tollhouse.ledger.rules import derive_entries
from tollhouse.ledger.store import insert_entries, select_held

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection


async def post_movements(connection: PlainConnection, movements: Sequence[Movement]) -> None:
    """Post a batch in the caller's transaction. What was posted before stays as it is."""
    ordered = sorted(movements, key=lambda movement: (movement.merchant_id, movement.transaction_id))
    depending = {movement.purchase for movement in ordered if movement.kind.needs_held}
    held = await select_held(connection, sorted(depending)) if depending else {}
    await insert_entries(connection, derive_entries(ordered, held))
