"""Rules that derive ledger entries from movements.

sale        the acquirer owes the amount, and the merchant is owed it
auth        the issuer holds the amount for the merchant
capture     the whole hold ends, and the captured amount is booked as a sale
void        the hold ends, or without a hold the sale or capture is undone
credit      the acquirer owes less, out of the amount that the merchant is owed
chargeback  the same by the issuer's decision, for any amount left
dispute_won a chargeback is undone
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tollhouse.kernel.money import Money
from tollhouse.ledger.model import LedgerAccount, LedgerEntry, Movement, MovementKind

#: The account to debit, and the account to credit.
Way = tuple[LedgerAccount, LedgerAccount]

HOLD: Way = (LedgerAccount.HOLDS_ISSUERS, LedgerAccount.HOLDS_MERCHANTS)
RELEASE: Way = (LedgerAccount.HOLDS_MERCHANTS, LedgerAccount.HOLDS_ISSUERS)
TAKE: Way = (LedgerAccount.MONEY_ACQUIRERS, LedgerAccount.MONEY_MERCHANTS)
UNDO: Way = (LedgerAccount.MONEY_MERCHANTS, LedgerAccount.MONEY_ACQUIRERS)
GIVE_BACK: Way = (LedgerAccount.MONEY_CREDITS, LedgerAccount.MONEY_ACQUIRERS)
LOSE: Way = (LedgerAccount.MONEY_CHARGEBACKS, LedgerAccount.MONEY_ACQUIRERS)
WIN: Way = (LedgerAccount.MONEY_ACQUIRERS, LedgerAccount.MONEY_CHARGEBACKS)

#: The accounts of kinds that do not depend on the hold.
WAYS: Mapping[MovementKind, Way] = {
    MovementKind.SALE: TAKE,
    MovementKind.AUTH: HOLD,
    MovementKind.CREDIT: GIVE_BACK,
    MovementKind.CHARGEBACK: LOSE,
    MovementKind.DISPUTE_WON: WIN,
}


def derive_entries(movements: Iterable[Movement], held_minor: Mapping[tuple[int, int], int]) -> list[LedgerEntry]:
    """Return the entries of movements. `held_minor` is the hold of each payment before its first movement."""
    held, entries = dict(held_minor), list[LedgerEntry]()
    for movement in movements:
        steps = _find_steps(movement, held.get(movement.purchase, 0))
        entries += _number(movement, steps)
        held[movement.purchase] = held.get(movement.purchase, 0) + sum(_change_of_hold(*step) for step in steps)
    return entries


def _find_steps(movement: Movement, held: int) -> list[tuple[Way, int]]:
    """Return the accounts and amounts of a movement."""
    amount = movement.money.amount_minor
    match movement.kind:
        case MovementKind.CAPTURE:
            return [(RELEASE, amount), (TAKE, amount), (RELEASE, max(held - amount, 0))]
        case MovementKind.VOID:
            return [(RELEASE if held else UNDO, amount)]
        case _:
            return [(WAYS[movement.kind], amount)]


def _number(movement: Movement, steps: Iterable[tuple[Way, int]]) -> list[LedgerEntry]:
    """Build entries from steps.

    Their numbers depend on the kind only, so that a repeated posting meets its own rows.
    """
    return [
        LedgerEntry(
            merchant_id=movement.merchant_id,
            transaction_id=movement.transaction_id,
            number=number,
            debit=debit,
            credit=credit,
            money=Money(amount, movement.money.currency),
        )
        for number, ((debit, credit), amount) in enumerate(steps, start=1)
        if amount
    ]


def _change_of_hold(way: Way, amount: int) -> int:
    return {HOLD: amount, RELEASE: -amount}.get(way, 0)
