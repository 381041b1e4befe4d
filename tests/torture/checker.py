"""The judge: compares the clients' records, the issuer's journal, the gateway's database and the listener's callbacks.

Each rule is a query or a comparison that returns what breaks it. Nothing is corrected, and the gateway is not believed
where the issuer or the clients contradict it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from tests.support.listener import Listener
    from tests.torture.load import Records

#: Every transaction with the request that asked for it: the payment's own, or the operation's.
TRANSACTIONS = """
    select
        coalesce(o.request_id, p.request_id) as request_id, t.transaction_id::text, t.payment_id::text, t.mode::text,
        case when o.dispute_step::text = 'first' then 'chargeback' else t.status::text end as status, t.amount_minor
    from gateway.transaction t
    join gateway.payment p using (merchant_id, payment_id)
    left join gateway.operation o using (merchant_id, transaction_id)
"""

#: What the issuer approved and did not take back, beside the transaction that the gateway has for it.
APPROVED = """
    select
        j.reference, j.kind::text, j.amount_minor as approved_minor, t.amount_minor, t.status::text,
        t.transaction_id::text
    from simulator.journal j
    left join gateway.attempt a on a.reference = j.reference
    left join gateway.transaction t on t.merchant_id = a.merchant_id and t.transaction_id = a.transaction_id
    where j.approval_code is not null and j.reversed_at is null
"""

#: Successes that the issuer did not approve exactly once. It decides charge-backs itself; they have no approval.
NOT_APPROVED_ONCE = """
    select t.transaction_id::text, t.mode::text, count(j.reference) as approvals
    from gateway.transaction t
    left join gateway.attempt a on a.merchant_id = t.merchant_id and a.transaction_id = t.transaction_id
    left join simulator.journal j
        on j.reference = a.reference and j.approval_code is not null and j.reversed_at is null
    where t.status::text = 'success' and t.mode::text <> 'chargeback'
    group by t.merchant_id, t.transaction_id, t.mode
    having count(j.reference) <> 1
"""

#: More refunded than was taken, as the issuer sees it.
OVERDRAWN = """
    select reference, amount_minor, captured_minor, credited_minor from simulator.journal
    where credited_minor > greatest(captured_minor, case kind::text when 'sale' then amount_minor else 0 end)
        or captured_minor > amount_minor
"""

#: Charge-backs of which the books do not say all.
NOT_BOOKED = """
    select t.transaction_id::text, t.amount_minor, sum(e.amount_minor) as booked_minor
    from gateway.transaction t
    join gateway.operation o using (merchant_id, transaction_id)
    left join gateway.ledger_entry e using (merchant_id, transaction_id)
    where o.dispute_step::text = 'first'
    group by t.merchant_id, t.transaction_id, t.amount_minor
    having coalesce(sum(e.amount_minor), 0) <> t.amount_minor
"""

#: Disputes that the gateway has acknowledged and not recorded.
NOT_RECORDED = """
    select d.dispute_id from simulator.dispute d
    where d.taken_at is not null
        and not exists (select from gateway.operation o where o.request_id like '%-' || d.dispute_id::text)
"""

OPEN = """
    select t.transaction_id::text, t.status::text, a.state::text
    from gateway.transaction t join gateway.attempt a using (merchant_id, transaction_id)
    where t.status::text = 'pending' or a.state::text in ('in_flight', 'challenged', 'unknown', 'reversing')
"""

UNDELIVERED = """
    select e.event_id, e.sequence, d.state::text
    from gateway.event e left join gateway.delivery d using (merchant_id, event_id)
    where d.state is distinct from 'delivered' and e.url <> ''
"""

#: Final transactions without an event, and two events about one transaction and status.
UNTOLD = """
    select t.transaction_id::text, t.status::text
    from gateway.transaction t
    where t.status::text <> 'pending' and not exists (
        select from gateway.event e where e.merchant_id = t.merchant_id and e.transaction_id = t.transaction_id
    )
"""
TOLD_TWICE = """
    select transaction_id::text, status, count(*) from gateway.event
    where transaction_id is not null
    group by merchant_id, transaction_id, status, kind, format having count(*) > 1
"""
GAPS = """
    select merchant_id, count(sequence), min(sequence), max(sequence) from gateway.event
    group by 1 having count(*) <> max(sequence) - min(sequence) + 1
"""

PAID_TWICE = """
    select subscription_id::text, period, count(*) from gateway.renewal
    where state::text = 'paid' group by merchant_id, subscription_id, period having count(*) > 1
"""

LEFT_BEHIND = """
    select 'card of a final attempt' as what, count(*) from gateway.attempt
    where sealed_card is not null and state::text not in ('in_flight', 'challenged', 'unknown', 'reversing')
    union all select 'unanswered request', count(*) from gateway.request_claim where answer is null
"""


async def count_unfinished(connection: asyncpg.Connection[Any]) -> int:
    """Return how much is still to be resolved, numbered or delivered."""
    return len(await connection.fetch(OPEN)) + len(await connection.fetch(UNDELIVERED))


async def find_violations(connection: asyncpg.Connection[Any], records: Records, listener: Listener) -> list[str]:
    """Return every broken rule in words; an empty list is a clean record."""
    return [
        *_check_answers(records),
        *await _check_acknowledged(connection, records),
        *await _check_money(connection),
        *await _check_ends(connection),
        *await _check_events(connection, listener),
    ]


def _check_answers(records: Records) -> list[str]:
    """Every question has one answer, byte for byte, however often it was asked."""
    wrong = [f"{request_id} never got an answer" for request_id in records.unanswered]
    wrong += [
        f"{request_id} got {len(set(bodies))} different answers"
        for request_id, bodies in records.heard.items()
        if len(set(bodies)) > 1
    ]
    wrong += [f"{request_id} was answered and refused" for request_id in records.heard.keys() & records.refused.keys()]
    for request_id, refusals in records.refused.items():
        may_be_refused = records.asked[request_id].may_be_refused
        wrong += [
            f"{request_id} was refused with {status}: {body[:300]!r}"
            for status, body in refusals
            if not may_be_refused or status >= 500
        ]
    return wrong


async def _check_acknowledged(connection: asyncpg.Connection[Any], records: Records) -> list[str]:
    """Every acknowledged transaction is stored with what the client heard; what was refused does not exist."""
    stored = {row["transaction_id"]: row for row in await connection.fetch(TRANSACTIONS)}
    wrong = []
    for request_id, bodies in records.heard.items():
        heard = json.loads(bodies[0])["payment"]
        row = stored.get(heard["transactionId"])
        if row is None:
            wrong.append(f"{request_id} was acknowledged and is not stored")
        elif heard["status"] not in {row["status"], "pending"}:
            wrong.append(f"{request_id} was {heard['status']} and is {row['status']}")
        elif round(heard["amount"] * 100) != row["amount_minor"]:
            wrong.append(f"{request_id} changed its amount")
    wrong += [
        f"{row['request_id']} was refused and has transaction {row['transaction_id']}"
        for row in stored.values()
        if row["request_id"] in records.refused
    ]
    return wrong + _find_repeated(stored.values(), records)


def _find_repeated(rows: Iterable[Any], records: Records) -> list[str]:
    """Return the request ids of payments that led to more than one payment."""
    payments = defaultdict(set)
    for row in rows:
        if row["request_id"] in records.asked and records.asked[row["request_id"]].path == "/payment":
            payments[row["request_id"]].add(row["payment_id"])
    return [f"{request_id} has {len(found)} payments" for request_id, found in payments.items() if len(found) > 1]


async def _check_money(connection: asyncpg.Connection[Any]) -> list[str]:
    """The issuer approved what the gateway calls a success: to the cent, once, and nothing else."""
    wrong = [
        f"the issuer approved {row['kind']} of {row['approved_minor']} under {row['reference']},"
        f" and transaction {row['transaction_id']} is {row['status']} with {row['amount_minor']}"
        for row in await connection.fetch(APPROVED)
        if row["status"] != "success" or row["approved_minor"] != row["amount_minor"]
    ]
    wrong += [
        f"{row['mode']} {row['transaction_id']} is a success, and the issuer approved it {row['approvals']} times"
        for row in await connection.fetch(NOT_APPROVED_ONCE)
    ]
    wrong += [f"more went back than was taken: {dict(row)}" for row in await connection.fetch(OVERDRAWN)]
    wrong += [f"a charge-back is not in the books: {dict(row)}" for row in await connection.fetch(NOT_BOOKED)]
    wrong += [
        f"dispute {row['dispute_id']} was acknowledged and is not recorded"
        for row in await connection.fetch(NOT_RECORDED)
    ]
    return wrong + [
        f"subscription {row['subscription_id']} paid {row['count']} times for period {row['period']}"
        for row in await connection.fetch(PAID_TWICE)
    ]


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
    """Each outcome has one event, numbered without a gap, delivered with a right signature, in order in its payment."""
    wrong = [f"event {row['event_id']} is {row['state']}" for row in await connection.fetch(UNDELIVERED)]
    wrong += [f"transaction {row['transaction_id']} has no event" for row in await connection.fetch(UNTOLD)]
    wrong += [f"two events about one outcome: {dict(row)}" for row in await connection.fetch(TOLD_TWICE)]
    wrong += [
        f"merchant {row['merchant_id']} has gaps in its events: {dict(row)}" for row in await connection.fetch(GAPS)
    ]
    told = {(one["body"]["payment"]["transactionId"], one["body"]["payment"]["status"]) for one in listener.callbacks}
    stored = await connection.fetch(TRANSACTIONS)
    wrong += [
        f"transaction {row['transaction_id']} was never told as {row['status']}"
        for row in stored
        if (row["transaction_id"], row["status"]) not in told
    ]
    wrong += _find_disorder(listener)
    return wrong + ([f"{listener.forged} callbacks had a wrong signature"] if listener.forged else [])


def _find_disorder(listener: Listener) -> list[str]:
    """Return the orders whose callbacks first arrived in another order than that of their numbers."""
    last: dict[str, int] = {}
    seen: set[int] = set()
    wrong = []
    for callback in list(listener.callbacks):
        order_id = callback["body"]["payment"]["orderId"]
        sequence = int(callback["headers"]["webhook-sequence"])
        if sequence in seen:
            continue
        seen.add(sequence)
        if sequence < last.get(order_id, 0):
            wrong.append(f"order {order_id} was told of event {sequence} after {last[order_id]}")
        last[order_id] = sequence
    return wrong
