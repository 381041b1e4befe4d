"""What a movement does to the books. Pure.

sale        acquirers owe, merchants are owed
auth        issuers hold, for merchants
capture     the hold ends, all of it; what was captured is taken as by a sale
void        the hold ends; or, where nothing is held any more, what was taken is undone
credit      acquirers owe less, out of what merchants are owed
chargeback  the same, by the issuer's decision, however much is left
dispute_won a charge-back is undone
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tollhouse.kernel.money import Money
from tollhouse.ledger.model import Account, Entry, Kind, Movement

#: From where to where: debit, credit.
Way = tuple[Account, Account]

HOLD: Way = (Account.HOLDS_ISSUERS, Account.HOLDS_MERCHANTS)
RELEASE: Way = (Account.HOLDS_MERCHANTS, Account.HOLDS_ISSUERS)
TAKE: Way = (Account.MONEY_ACQUIRERS, Account.MONEY_MERCHANTS)
UNDO: Way = (Account.MONEY_MERCHANTS, Account.MONEY_ACQUIRERS)
GIVE_BACK: Way = (Account.MONEY_CREDITS, Account.MONEY_ACQUIRERS)
LOSE: Way = (Account.MONEY_CHARGEBACKS, Account.MONEY_ACQUIRERS)
WIN: Way = (Account.MONEY_ACQUIRERS, Account.MONEY_CHARGEBACKS)

#: Of the kinds that go one way, whatever is held.
WAYS: Mapping[Kind, Way] = {
    Kind.SALE: TAKE,
    Kind.AUTH: HOLD,
    Kind.CREDIT: GIVE_BACK,
    Kind.CHARGEBACK: LOSE,
    Kind.DISPUTE_WON: WIN,
}


def derive_entries(movements: Iterable[Movement], held_minor: Mapping[tuple[int, int], int]) -> list[Entry]:
    """Return the entries of movements. `held_minor` is what their purchases hold before the first of them."""
    held, entries = dict(held_minor), list[Entry]()
    for movement in movements:
        steps = _find_steps(movement, held.get(movement.purchase, 0))
        entries += _number(movement, steps)
        held[movement.purchase] = held.get(movement.purchase, 0) + sum(_change_of_hold(*step) for step in steps)
    return entries


def _find_steps(movement: Movement, held: int) -> list[tuple[Way, int]]:
    """Return which ways a movement goes, and how far."""
    amount = movement.money.amount_minor
    match movement.kind:
        case Kind.CAPTURE:
            return [(RELEASE, amount), (TAKE, amount), (RELEASE, max(held - amount, 0))]
        case Kind.VOID:
            return [(RELEASE if held else UNDO, amount)]
        case _:
            return [(WAYS[movement.kind], amount)]


def _number(movement: Movement, steps: Iterable[tuple[Way, int]]) -> list[Entry]:
    """Make entries of steps. Their numbers depend on the kind alone, so that a repetition meets its own rows."""
    return [
        Entry(
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
