"""Years of subscriptions on PostgreSQL, with processes killed at random, and the acquirer's books as the judge.

Short in the suite; `make years-db SCHEDULES=1000` lives ten years of so many subscriptions, and prints its seed.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from datetime import timedelta

from tests.support.bills import Bills
from tests.support.shop import furnish
from tests.support.years_db import UNTOLD, Town

from tollhouse.ledger_check.verify import verify_ledger
from tollhouse.storage.database import Database

SUBSCRIPTIONS = int(os.environ.get("YEARS_SUBSCRIPTIONS", "30"))
IS_LONG = "YEARS_SUBSCRIPTIONS" in os.environ
LENGTH = timedelta(days=3653 if IS_LONG else 1096)
SEED = int(os.environ.get("YEARS_SEED", str(time.time_ns() % 1_000_000)))


async def test_every_due_period_is_billed_once(database: Database, database_dsn: str) -> None:
    """After kills, outages, lost and late answers and races: each due period charged once, none early, none missing."""
    await furnish(database)
    other = await Database.connect(database_dsn, schema="gateway")
    town = Town((database, other), random.Random(SEED), until=LENGTH + timedelta(days=60), size=SUBSCRIPTIONS)
    await town.open()
    while town.age < LENGTH:
        await town.keep_size()
        await town.live_on()
    await town.come_to_rest()

    bills = await town.collect_bills()
    print(describe(town, bills))  # noqa: T201 - whoever runs it wants to know, and to run it again
    faults = [f"{number}: {fault}" for number, bill in bills.items() for fault in bill.find_faults()]
    shop = town.processes[0].shop
    approved = {row["reference"] for row in await shop.fetch("select reference from attempt where state = 'approved'")}
    untold, report = await shop.fetch(UNTOLD), await verify_ledger(database)
    await other.close()
    assert faults == [], "\n".join([f"seed {SEED}", *faults[:20]])
    assert approved == set(town.acquirer.charged)
    assert untold == []
    assert report.violations == ()
    assert town.kills


def describe(town: Town, bills: dict[int, Bills]) -> str:
    """Say what happened, in a line."""
    tries = [row for bill in bills.values() for row in bill.tries]
    states = Counter(bill.subscription.state.value for bill in bills.values())
    paid = sum(row.state == "paid" for row in tries)
    return (
        f"seed {SEED}: {len(bills)} subscriptions, {town.age.days} days, {len(tries)} tries, {paid} paid,"
        f" {town.kills} kills, {town.changes} changes; {dict(states)}"
    )
