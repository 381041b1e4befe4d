"""Proving the books all the time: what is new since the last proof, and a piece of the rest, round after round.

New facts are followed along the numbers of merchants' events, which are given after the commit and without gaps: a
fact that is numbered is there to be seen, and none is passed over. The round meets what was changed afterwards, and
entries that belong to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from tollhouse.ledger import store
from tollhouse.ledger.store import Scope
from tollhouse.ledger.verify import MAX_VIOLATIONS, find_violations

if TYPE_CHECKING:
    from tollhouse.storage.database import Database

#: Of one proof: facts that are new, and transactions of the round.
NEW_FACTS = 500
ROUND_STEP = 1_000

#: Violations that are remembered.
MAX_REMEMBERED = 1_000

log = structlog.get_logger()


async def verify_new_entries(database: Database, *, new_facts: int = NEW_FACTS, round_step: int = ROUND_STEP) -> int:
    """Prove what is new and the next step of the round, which may be none; return how much was new.

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
            await store.upsert_proof(connection, facts[-1])
        await store.update_round(connection, scope.upto)
    for (merchant_id, transaction_id), fault in faults.items():
        log.error("ledger.violation_found", merchant_id=merchant_id, transaction_id=transaction_id, fault=fault)
    return len(facts)
