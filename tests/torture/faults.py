"""Faults that the judge has to see. Each is made in what a clean run left, judged, and undone.

A rule that no fault can break proves nothing. So after a run without violations every rule is broken once.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy, deepcopy
from typing import TYPE_CHECKING, Any

from tests.torture.checker import find_violations

if TYPE_CHECKING:
    import asyncpg
    from tests.support.listener import Listener
    from tests.torture.load import Records

#: One sale whose client heard of its success, of which nothing was given back, with its entry in the issuer's journal.
SALE = """
    select t.merchant_id, t.transaction_id, p.request_id, a.number, a.reference
    from gateway.transaction t
    join gateway.payment p using (merchant_id, payment_id)
    join gateway.attempt a using (merchant_id, transaction_id)
    join simulator.journal j using (reference)
    join gateway.request_claim c on c.merchant_id = t.merchant_id and c.request_id = p.request_id
    join gateway.event e on e.merchant_id = t.merchant_id and e.transaction_id = t.transaction_id
    where t.mode::text = 'sale' and t.status::text = 'success' and a.state::text = 'approved'
        and c.answer is null and convert_from(e.body, 'utf8') like '%"status":"success"%'
        and p.request_id like 'card-%' and j.voided_at is null and j.credited_minor = 0
    order by t.transaction_id
    limit 1
"""

#: Statements about that sale, and the words of the violation that each has to lead to.
STORED_FAULTS = {
    "delete from gateway.transaction t using sale where t.transaction_id = sale.transaction_id": "not stored",
    """update gateway.transaction t set status = 'fail'
        from sale where t.transaction_id = sale.transaction_id""": "was success and is fail",
    """update gateway.transaction t set amount_minor = amount_minor + 1
        from sale where t.transaction_id = sale.transaction_id""": "changed its amount",
    """update simulator.journal j set amount_minor = amount_minor + 1
        from sale where j.reference = sale.reference""": "the issuer approved sale",
    """update simulator.journal j set reversed_at = now()
        from sale where j.reference = sale.reference""": "the issuer approved it 0 times",
    """update simulator.journal j set credited_minor = amount_minor + 1
        from sale where j.reference = sale.reference""": "more went back",
    """insert into gateway.reversal (merchant_id, transaction_id, number, acquirer, reference, reason, acknowledged_at)
        select merchant_id, transaction_id, number, 'simulated', reference, 'not_found', now()
        from sale""": "a reversal leaves something",
    """insert into simulator.dispute (reference, original_reference, acceptor, reason, due_at, taken_at)
        select reference, reference, merchant_id::text, '10.4', now(), now() from sale""": "is booked 0 times",
    """insert into simulator.dispute (reference, original_reference, acceptor, reason, due_at)
        select reference, reference, merchant_id::text, '10.4', now() from sale""": "is due and not booked",
    """update gateway.transaction t set mode = 'chargeback'
        from sale where t.transaction_id = sale.transaction_id""": "charge-back not posted",
    """update gateway.payment p set request_id = sale.request_id from sale
        where p.payment_id = (select max(payment_id) from gateway.payment)""": "was done 2 times",
    """with closed as (delete from gateway.closed_attempt a using sale where a.transaction_id = sale.transaction_id
            returning a.*, sale.reference as named)
        insert into gateway.open_attempt
            (merchant_id, transaction_id, payment_id, sent_at, state, number, acquirer, reference)
        select merchant_id, transaction_id, 0, sent_at, 'unknown', number, acquirer, named
        from closed""": "its attempt unknown",
    "update gateway.event set answer_length = null": "left behind",
    """update gateway.delivery d set state = 'waiting', due_at = now() + interval '1 year' from gateway.event e, sale
        where e.transaction_id = sale.transaction_id and d.position = e.position""": "is waiting",
    "delete from gateway.event e using sale where e.transaction_id = sale.transaction_id": "has no event",
    """update gateway.event_number set sequence = sequence + 5
        where sequence = (select max(sequence) from gateway.event_number)""": "has a gap",
    """drop index gateway.renewal_once;
        insert into gateway.renewal
            (merchant_id, transaction_id, payment_id, subscription_id, period, try, account_id, state, due_at, tried_at)
        select merchant_id, transaction_id + try, transaction_id, 1, 1, try, gen_random_uuid(), 'paid', now(), now()
        from sale, generate_series(1, 2) as tries (try)""": "paid 2 times for period 1",
    """drop index gateway.event_fact_unique;
        insert into gateway.event (merchant_id, position, payment_id, transaction_id, kind, status, url, body)
        select e.merchant_id, -1, e.payment_id, e.transaction_id, e.kind, e.status, '', e.body
        from gateway.event e, sale where e.transaction_id = sale.transaction_id""": "two events about one outcome",
}


async def find_unseen_faults(connection: asyncpg.Connection[Any], records: Records, listener: Listener) -> list[str]:
    """Return the faults that the judge does not see; an empty list is a judge that can be believed."""
    unseen = [
        statement
        for statement, expected in STORED_FAULTS.items()
        if expected not in await _judge_stored(connection, records, listener, statement)
    ]
    for fault, expected in HEARD_FAULTS.items():
        false_records, false_listener = deepcopy(records), copy(listener)
        false_listener.callbacks = list(listener.callbacks)
        fault(false_records, false_listener)
        if expected not in "\n".join(await find_violations(connection, false_records, false_listener)):
            unseen.append(fault.__name__)
    return unseen


async def _judge_stored(
    connection: asyncpg.Connection[Any], records: Records, listener: Listener, statement: str
) -> str:
    """Return the violations that the judge finds after a statement, and undo it."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"create temporary table sale on commit drop as {SALE}")
        await connection.execute(statement)
        return "\n".join(await find_violations(connection, records, listener))
    finally:
        await transaction.rollback()


def lose_answer(records: Records, _: Listener) -> None:
    """Forget the answer to a request."""
    records.heard.pop(next(iter(records.heard)))


def change_answer(records: Records, _: Listener) -> None:
    """Hear another answer to the same request."""
    next(iter(records.heard.values())).append(b"{}")


def refuse(records: Records, _: Listener) -> None:
    """Hear a refusal of what was done."""
    records.refused[next(iter(records.heard))].append((500, b"{}"))


def meet_failure(records: Records, _: Listener) -> None:
    """Hear that the gateway failed for good."""
    request_id = next(iter(records.heard))
    records.heard.pop(request_id)
    records.refused[request_id].append((500, b"{}"))


def ask_other_amount(records: Records, _: Listener) -> None:
    """Ask for another amount than the one that was answered."""
    request_id = next(name for name in records.heard if name.startswith("card-"))
    records.asked[request_id] = type(records.asked[request_id])("/payment", {"amount": 0.01})


def lose_callbacks(_: Records, listener: Listener) -> None:
    """Hear no callback."""
    listener.callbacks = []


def swap_callbacks(_: Records, listener: Listener) -> None:
    """Hear all callbacks in the wrong order."""
    listener.callbacks.reverse()


def forge_callback(_: Records, listener: Listener) -> None:
    """Hear a callback with a wrong signature."""
    listener.forged += 1


HEARD_FAULTS: dict[Callable[[Records, Listener], None], str] = {
    lose_answer: "never got an answer",
    change_answer: "different answers",
    refuse: "was answered and refused",
    meet_failure: "was refused with 500",
    ask_other_amount: "changed its amount",
    lose_callbacks: "was never told as",
    swap_callbacks: "was told of event",
    forge_callback: "had a wrong signature",
}
