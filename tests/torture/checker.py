"""The judge: joins the clients' books, the bank's journal, the gateway's database and what the listener got.

Each rule is a query or a comparison that returns what breaks it; nothing is fixed up, and nothing is believed of the
gateway that the bank or the clients contradict.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import asyncpg
from tests.support.gateways import SOURCE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.listener import Listener
    from tests.torture.load import Books

PAYMENTS = """
    select p.request_id, t.transaction_id::text, t.status::text, t.amount_minor, t.currency, t.code
    from gateway.payment p join gateway.transaction t using (merchant_id, payment_id)
"""

#: Money that the bank says it took, and the payment that the gateway has for it, side by side.
TAKEN = """
    select j.reference, j.amount_minor as taken_minor, t.amount_minor, t.status::text
    from simulator.journal j
    left join gateway.attempt a on a.reference = j.reference
    left join gateway.transaction t using (merchant_id, transaction_id)
    where j.approval_code is not null and j.reversed_at is null
"""

OPEN = """
    select t.transaction_id::text, t.status::text, a.state::text
    from gateway.transaction t join gateway.attempt a using (merchant_id, transaction_id)
    where t.status = 'pending' or a.resolve_at is not null
"""

UNDELIVERED = """
    select e.event_id, e.sequence, d.state::text
    from gateway.event e left join gateway.delivery d using (merchant_id, event_id)
    where d.state is distinct from 'delivered'
"""

#: Transactions without exactly one event, and gaps in the numbering.
MISCOUNTED = """
    select t.transaction_id::text, count(e.event_id)
    from gateway.transaction t left join gateway.event e using (merchant_id, transaction_id)
    group by 1 having count(e.event_id) <> 1
"""
GAPS = """
    select merchant_id, count(*), max(sequence) from gateway.event group by 1 having count(*) <> max(sequence)
"""

LEFT_BEHIND = """
    select 'security code' as what, count(*) from gateway.security_code
    union all select 'card of a final attempt', count(*) from gateway.attempt where sealed_card is not null
    union all select 'unanswered request', count(*) from gateway.request_claim where answer is null
"""


async def count_unfinished(connection: asyncpg.Connection[Any]) -> int:
    """Return how much is still to be settled, numbered or delivered."""
    return len(await connection.fetch(OPEN)) + len(await connection.fetch(UNDELIVERED))


async def find_violations(connection: asyncpg.Connection[Any], books: Books, listener: Listener) -> list[str]:
    """Return every broken rule in words; an empty list is a clean record."""
    return [
        *_check_answers(books),
        *await _check_acknowledged(connection, books),
        *await _check_money(connection),
        *await _check_ends(connection),
        *await _check_events(connection, listener),
    ]


async def find_book_violations(data_directory: Path) -> list[str]:
    """Return what `tollhouse ledger verify` says of the books; nothing when it says that they hold."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tollhouse", "ledger", "verify", "--data-dir", str(data_directory),
        env=os.environ | {"PYTHONPATH": str(SOURCE)}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return said.decode().splitlines() if process.returncode else []


def _check_answers(books: Books) -> list[str]:
    """Every question got one answer, byte for byte, however often it was asked; none was refused."""
    wrong = [f"{request_id} never got an answer" for request_id in books.unanswered]
    wrong += [
        f"{request_id} got {len(set(bodies))} different answers"
        for request_id, bodies in books.heard.items()
        if len(set(bodies)) > 1
    ]
    return wrong + [f"{request_id} was refused with {status}: {body!r}" for request_id, status, body in books.refused]


async def _check_acknowledged(connection: asyncpg.Connection[Any], books: Books) -> list[str]:
    """Every acknowledged payment is there, once, with what the client heard; a final status did not change."""
    rows: dict[str, list[Any]] = {}
    for row in await connection.fetch(PAYMENTS):
        rows.setdefault(row["request_id"], []).append(row)
    wrong = [f"{request_id} has {len(found)} payments" for request_id, found in rows.items() if len(found) > 1]
    for request_id, bodies in books.heard.items():
        heard = json.loads(bodies[0])["payment"]
        stored = next(
            (row for row in rows.get(request_id, []) if row["transaction_id"] == heard["transactionId"]), None
        )
        if stored is None:
            wrong.append(f"{request_id} was acknowledged and is not there")
        elif heard["status"] not in {stored["status"], "pending"}:
            wrong.append(f"{request_id} was {heard['status']} and is {stored['status']}")
        elif round(heard["amount"] * 100) != stored["amount_minor"]:
            wrong.append(f"{request_id} changed its amount")
    return wrong


async def _check_money(connection: asyncpg.Connection[Any]) -> list[str]:
    """What the bank took is what the gateway calls a success, to the cent and nothing twice."""
    taken = await connection.fetch(TAKEN)
    wrong = [
        f"the bank took {row['taken_minor']} under {row['reference']}, and the payment is {row['status']}"
        for row in taken
        if row["status"] != "success" or row["taken_minor"] != row["amount_minor"]
    ]
    successes = await connection.fetchval("select count(*) from gateway.transaction where status = 'success'")
    return wrong + ([f"{successes} successes, and the bank took {len(taken)} times"] if successes != len(taken) else [])


async def _check_ends(connection: asyncpg.Connection[Any]) -> list[str]:
    """Nothing is open, and nothing secret was left behind."""
    wrong = [
        f"transaction {row['transaction_id']} is {row['status']}, its attempt {row['state']}"
        for row in await connection.fetch(OPEN)
    ]
    return wrong + [
        f"left behind: {row['count']} x {row['what']}" for row in await connection.fetch(LEFT_BEHIND) if row["count"]
    ]


async def _check_events(connection: asyncpg.Connection[Any], listener: Listener) -> list[str]:
    """Each payment has one event, numbered without a gap and delivered at least once, with a right signature."""
    wrong = [f"event {row['event_id']} is {row['state']}" for row in await connection.fetch(UNDELIVERED)]
    wrong += [
        f"transaction {row['transaction_id']} has {row['count']} events" for row in await connection.fetch(MISCOUNTED)
    ]
    wrong += [f"merchant {row['merchant_id']} has gaps in its events" for row in await connection.fetch(GAPS)]
    got = {one["body"]["payment"]["transactionId"]: one["body"]["payment"]["status"] for one in listener.callbacks}
    stored = {row["transaction_id"]: row["status"] for row in await connection.fetch(PAYMENTS)}
    wrong += [f"transaction {one} never reached the listener" for one in stored.keys() - got.keys()]
    wrong += [
        f"transaction {one} was told as {got[one]}" for one in stored.keys() & got.keys() if got[one] != stored[one]
    ]
    return wrong + ([f"{listener.forged} callbacks had a wrong signature"] if listener.forged else [])
