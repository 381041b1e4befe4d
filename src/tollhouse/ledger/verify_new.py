"""Verify the ledger continuously: new entries since the last run, and the next part of all others, round after round.

New transactions are found by the numbers of merchants' events, which are assigned after the commit and without gaps, so
a numbered transaction is visible and none is skipped. The round finds later changes, and entries without a transaction.
"""

from __future__ import annotations

import structlog

from tollhouse.ledger import store
from tollhouse.ledger.store import Scope
from tollhouse.ledger.verify import MAX_VIOLATIONS, find_violations
from tollhouse.storage.database import Database

#: In one run: new transactions, and transactions of the round.
MAX_NEW_EVENTS = 500
ROUND_STEP = 1_000

#: The largest number of stored violations.
MAX_REMEMBERED = 1_000

log = structlog.get_logger()


async def verify_new_entries(
    database: Database, *, new_facts: int = MAX_NEW_EVENTS, round_step: int = ROUND_STEP
) -> int:
    """Verify new entries and the next part of the round, if any. Return the number of new ones.

    Raises DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        reached = await store.lock_round(connection)
        if reached is None:
            return 0
        facts = await store.select_new_facts(connection, limit=new_facts)
        new = [(fact.merchant_id, fact.transaction_id) for fact in facts if fact.transaction_id]
        scope = Scope(reached, reached, 0, tuple(new))
        if round_step:
            scope = await store.select_scope(connection, reached, size=round_step, singles=new)
        found = await find_violations(connection, scope, most=MAX_VIOLATIONS)
        faults = {violation.key: violation.fault for violation in found if violation.key}
        await store.replace_violations(connection, scope, list(faults.items()), most=MAX_REMEMBERED)
        if facts:
            await store.upsert_verified(connection, facts[-1])
        await store.update_round(connection, scope.upto)
    for (merchant_id, transaction_id), fault in faults.items():
        log.error("ledger.violation_found", merchant_id=merchant_id, transaction_id=transaction_id, fault=fault)
    return len(facts)
