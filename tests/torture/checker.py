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

OPEN = """
    select t.transaction_id::text, t.status::text, a.state::text
    from gateway.transaction t join gateway.attempt a using (merchant_id, transaction_id)
    where t.status::text = 'pending' or a.state::text in ('in_flight', 'challenged', 'unknown', 'reversing')
"""

#: Attempts that were settled without the acquirer's answer, or against it, and what the issuer has of them.
REVERSALS = """
    select
        r.reference, r.reason::text, r.acknowledged_at is not null as is_acknowledged, t.status::text,
        j.approval_code is not null and j.reversed_at is null as is_taken
    from gateway.reversal r
    join gateway.transaction t using (merchant_id, transaction_id)
    left join simulator.journal j using (reference)
"""
OPEN_REVERSALS = "select reference from gateway.reversal where acknowledged_at is null or due_at <= now()"

#: The issuer's own disputes, and how often each is booked. One may be booked and not yet acknowledged when what is left
#: to take becomes nothing; then the issuer does not tell it again.
DISPUTES = """
    select d.dispute_id::text, d.reference, d.taken_at is not null as is_acknowledged, count(o.transaction_id) as booked
    from simulator.dispute d
    left join gateway.operation o
        on o.merchant_id::text = d.acceptor and o.request_id = 'simulated-' || d.dispute_id::text
    group by d.dispute_id
"""
DUE_DISPUTES = """
    select d.dispute_id::text
    from simulator.dispute d
    join gateway.merchant m on m.merchant_id::text = d.acceptor
    join simulator.journal j on j.reference = d.original_reference
    where d.taken_at is null and d.due_at <= now() + m.clock_offset and j.reversed_at is null and j.voided_at is null
        and case j.kind::text when 'sale' then j.amount_minor else j.captured_minor end > j.credited_minor
"""
#: Charge-backs that are not posted to the ledger once, in full.
UNPOSTED = """
    select t.transaction_id::text, t.amount_minor, count(e.number) as entries, sum(e.amount_minor) as posted
    from gateway.transaction t
    left join gateway.ledger_entry e
        on e.merchant_id = t.merchant_id and e.transaction_id = t.transaction_id and e.debit::text = 'money.chargebacks'
    where t.mode::text = 'chargeback'
    group by t.merchant_id, t.transaction_id, t.amount_minor
    having count(e.number) <> 1 or sum(e.amount_minor) <> t.amount_minor
"""

UNDELIVERED = """
    select position, n.sequence, d.state::text
    from gateway.event e
    left join gateway.event_number n using (position)
    left join gateway.delivery d using (position)
    where n.sequence is null or (d.state is distinct from 'delivered' and e.url <> '')
"""

#: Final transactions without an event, two events about one transaction and status, and what has to be heard.
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
    group by merchant_id, transaction_id, status having count(*) > 1
"""
TOLD = "select transaction_id::text, status from gateway.event where transaction_id is not null and url <> ''"
#: What becomes of an order's events, for the message about callbacks in a wrong order.
DELIVERIES = """
    select e.event_id, e.sequence, e.kind, e.status, d.thread, d.attempts, a.started
    from gateway.numbered_event e
    join gateway.delivery d using (merchant_id, event_id)
    left join lateral (
        select array_agg(started_at::time::text order by started_at) as started
        from gateway.delivery_attempt a where a.merchant_id = e.merchant_id and a.event_id = e.event_id
    ) a on true
    where e.payment_id = $1 order by e.sequence
"""
#: Numbers follow each other from 1; only `tollhouse restored` jumps, to the first after a multiple of 10^9.
GAPS = """
    select merchant_id, sequence, previous
    from (
        select
            merchant_id, sequence,
            coalesce(lag(sequence) over (partition by merchant_id order by sequence), 0) as previous
        from gateway.event_number
    ) numbered
    where sequence <> previous + 1 and sequence % 1000000000 <> 1
"""

PAID_TWICE = """
    select subscription_id::text, period, count(*) from gateway.renewal
    where state::text = 'paid' group by merchant_id, subscription_id, period having count(*) > 1
"""

LEFT_BEHIND = """
    select 'card of a final attempt' as what, count(*) from gateway.attempt
    where sealed_card is not null and state::text not in ('in_flight', 'challenged', 'unknown', 'reversing')
    union all select 'unanswered request', count(*) from gateway.request_claim c
    where answer is null and not exists (
        select from gateway.transaction t join gateway.event e using (merchant_id, transaction_id)
        where t.merchant_id = c.merchant_id and t.payment_id = c.payment_id and e.answer_length is not null
            and (t.transaction_id = c.transaction_id or c.transaction_id is null and t.mode::text in ('sale', 'auth'))
    )
"""


#: What happened, for the line that says what was tried.
MONEY_FACTS = """
    select 'reversals: ' || reason::text as fact, count(*) as count from gateway.reversal group by 1
    union all select 'disputes of the issuer', count(*) from simulator.dispute where taken_at is not null
    union all select 'charge-backs beyond what was left', count(*) from gateway.operation where excess_minor > 0
    union all select 'renewals paid', count(*) from gateway.renewal where state::text = 'paid'
    union all
    select mode::text || ' ' || status::text, count(*) from gateway.transaction group by 1
"""


async def count_unfinished(connection: asyncpg.Connection[Any]) -> int:
    """Return how much is still to be resolved, numbered or delivered."""
    unfinished = (OPEN, OPEN_REVERSALS, DUE_DISPUTES, UNDELIVERED)
    return sum([len(await connection.fetch(statement)) for statement in unfinished])


async def count_facts(connection: asyncpg.Connection[Any]) -> dict[str, int]:
    """Return how often each kind of movement happened."""
    return {row["fact"]: row["count"] for row in await connection.fetch(MONEY_FACTS)}


async def find_violations(connection: asyncpg.Connection[Any], records: Records, listener: Listener) -> list[str]:
    """Return every broken rule in words; an empty list is a clean record."""
    return [
        *_check_answers(records),
        *await _check_acknowledged(connection, records),
        *await _check_money(connection),
        *await _check_reversals(connection),
        *await _check_chargebacks(connection),
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
    for request_id, rejections in records.refused.items():
        may_be_refused = records.asked[request_id].may_be_refused
        wrong += [
            f"{request_id} was refused with {status}: {body[:300]!r}"
            for status, body in rejections
            if not may_be_refused or status >= 500
        ]
    return wrong


async def _check_acknowledged(connection: asyncpg.Connection[Any], records: Records) -> list[str]:
    """Every acknowledged transaction is stored with what the client heard; what was refused does not exist."""
    stored = {row["transaction_id"]: row for row in await connection.fetch(TRANSACTIONS)}
    wrong = []
    for request_id, bodies in records.heard.items():
        asked_amount = records.asked[request_id].body.get("amount")
        heard = json.loads(bodies[0])["payment"]
        row = stored.get(heard["transactionId"])
        if row is None:
            wrong.append(f"{request_id} was acknowledged and is not stored")
        elif heard["status"] not in {row["status"], "pending"}:
            wrong.append(f"{request_id} was {heard['status']} and is {row['status']}")
        elif round(heard["amount"] * 100) != row["amount_minor"] or asked_amount not in {None, heard["amount"]}:
            wrong.append(f"{request_id} changed its amount")
    wrong += [
        f"{row['request_id']} was refused and has transaction {row['transaction_id']}"
        for row in stored.values()
        if row["request_id"] in records.refused
    ]
    return wrong + _find_repeated(stored.values(), records)


def _find_repeated(rows: Iterable[Any], records: Records) -> list[str]:
    """Return the request ids that led to more than one payment, or to more than one operation on a payment."""
    results = defaultdict(set)
    for row in rows:
        asked = records.asked.get(row["request_id"])
        if asked is not None:
            results[row["request_id"]].add(row["payment_id" if asked.path == "/payment" else "transaction_id"])
    return [f"{request_id} was done {len(found)} times" for request_id, found in results.items() if len(found) > 1]


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
    return wrong + [
        f"subscription {row['subscription_id']} paid {row['count']} times for period {row['period']}"
        for row in await connection.fetch(PAID_TWICE)
    ]


async def _check_reversals(connection: asyncpg.Connection[Any]) -> list[str]:
    """What was settled without the acquirer's answer took nothing, also if the approval came later."""
    return [
        f"a reversal leaves something: {dict(row)}"
        for row in await connection.fetch(REVERSALS)
        if row["is_taken"] or not row["is_acknowledged"] or row["status"] != "fail"
    ]


async def _check_chargebacks(connection: asyncpg.Connection[Any]) -> list[str]:
    """What issuers charge back is booked once, in full."""
    wrong = [
        f"dispute {row['dispute_id']} about {row['reference']} is booked {row['booked']} times: {dict(row)}"
        for row in await connection.fetch(DISPUTES)
        if row["booked"] > 1 or (row["is_acknowledged"] and row["booked"] != 1)
    ]
    wrong += [f"dispute {row['dispute_id']} is due and not booked" for row in await connection.fetch(DUE_DISPUTES)]
    return wrong + [f"charge-back not posted: {dict(row)}" for row in await connection.fetch(UNPOSTED)]


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
    wrong = [f"event {row['position']} is {row['state']}" for row in await connection.fetch(UNDELIVERED)]
    wrong += [f"transaction {row['transaction_id']} has no event" for row in await connection.fetch(UNTOLD)]
    wrong += [f"two events about one outcome: {dict(row)}" for row in await connection.fetch(TOLD_TWICE)]
    wrong += [
        f"merchant {row['merchant_id']} has a gap in its events: {dict(row)}" for row in await connection.fetch(GAPS)
    ]
    told = {(one["body"]["payment"]["transactionId"], one["body"]["payment"]["status"]) for one in listener.callbacks}
    due = {(row["transaction_id"], row["status"]) for row in await connection.fetch(TRANSACTIONS)}
    due |= {tuple(row) for row in await connection.fetch(TOLD)}
    wrong += [f"transaction {transaction_id} was never told as {status}" for transaction_id, status in due - told]
    for order_id, *numbers in _find_disorder(listener):
        events = [dict(row) for row in await connection.fetch(DELIVERIES, int(order_id))]
        wrong.append(f"order {order_id} was told of event {numbers[1]} after {numbers[0]}: {events}")
    return wrong + ([f"{listener.forged} callbacks had a wrong signature"] if listener.forged else [])


def _find_disorder(listener: Listener) -> list[tuple[str, int, int]]:
    """Return orders of which a callback first arrived before one with a lower number, with the two numbers.

    Events about a subscription name an order too; they follow each other, and not the events of that payment.
    """
    last: dict[tuple[str, bool], int] = {}
    seen: set[int] = set()
    wrong = []
    for callback in list(listener.callbacks):
        payment = callback["body"]["payment"]
        order_id, is_of_subscription = payment["orderId"], payment["mode"] == "cancel"
        sequence = int(callback["headers"]["webhook-sequence"])
        if sequence in seen:
            continue
        seen.add(sequence)
        before = last.get((order_id, is_of_subscription), 0)
        if sequence < before:
            wrong.append((order_id, before, sequence))
        last[order_id, is_of_subscription] = sequence
    return wrong
