"""Finish: one outcome, one event, and all rows of the finish hooks or none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from tests.support.acquirer import Plan, approve
from tests.support.shop import Shop, claim

from tollhouse.acquirers.model import Declined
from tollhouse.payments import lifecycle
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.finish import finish_attempt
from tollhouse.payments.model import AttemptState, FinishRows, Payment
from tollhouse.payments.steps import FinishRecord
from tollhouse.payments.store import finish_payments
from tollhouse.storage.coalesce import Coalescer


async def test_of_two_outcomes_in_one_batch_the_first_counts(shop: Shop) -> None:
    """Of several outcomes of one attempt in a batch one is written, with its event."""
    payment = await shop.begin(claim=claim("r1"))
    now = shop.parts.clock.now()
    outcomes = [lifecycle.apply(payment, outcome, now) for outcome in (approve("x"), Declined("05"), approve("y"))]
    replies = await asyncio.gather(*(finish_attempt(shop.parts.finish, payment, outcome) for outcome in outcomes))
    [row] = await shop.fetch("select status::text, code from transaction")
    events = await shop.fetch("select status from event")
    assert [event["status"] for event in events] == [row["status"]]
    assert len({reply.body for reply in replies}) == 1


async def test_the_first_outcome_counts(shop: Shop) -> None:
    """A second outcome changes nothing and returns the stored response."""
    payment = await shop.begin()
    now = shop.parts.clock.now()
    first = await finish_attempt(shop.parts.finish, payment, lifecycle.apply(payment, approve("x"), now))
    second = await finish_attempt(shop.parts.finish, payment, lifecycle.apply(payment, Declined("05"), now))
    assert second.body == first.body
    assert await shop.value("select count(*) from event") == 1


async def test_a_lost_race_delays_no_other_attempt(shop: Shop) -> None:
    """In a batch with an attempt that was finished otherwise, the others are finished."""
    taken, free = await shop.begin(), await shop.begin(metadata='{"n": 2}')
    now = shop.parts.clock.now()
    first = await finish_attempt(shop.parts.finish, taken, lifecycle.apply(taken, approve("x"), now))
    late, moved = await asyncio.gather(
        finish_attempt(shop.parts.finish, taken, lifecycle.apply(taken, Declined("05"), now)),
        finish_attempt(shop.parts.finish, free, lifecycle.apply(free, approve("y"), now)),
    )
    assert late.body == first.body != moved.body
    rows = await shop.fetch("select transaction_id, status::text from transaction")
    assert {tuple(row) for row in rows} == {(taken.transaction_id, "success"), (free.transaction_id, "success")}
    events = await shop.fetch("select transaction_id, status from event")
    assert sorted(tuple(event) for event in events) == sorted(tuple(row) for row in rows)
    assert await shop.value("select count(*) from ledger_entry") == 2


async def test_an_outcome_is_written_whole_or_not_at_all(shop: Shop) -> None:
    """If a row of a finish hook cannot be written, neither status, card, event nor response is."""

    class NoRecipient:
        kind = FinishRows.EMAILS

        def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
            return ((payment.merchant_id, payment.transaction_id, None, None, None, "en", "{}"),)

    payment = await shop.begin(claim=claim("r1"))
    flush = shop.parts.finish_queue._flush  # noqa: SLF001 - the consequences of app, and one more
    consequences = (*flush.args[1], NoRecipient())  # type: ignore[attr-defined]
    finishes = Coalescer("finish", partial(finish_payments, shop.parts.clock, consequences), shop.parts.database)
    parts = replace(shop.parts, finish_queue=finishes)
    with pytest.raises(Exception, match="recipient"):
        await finish_attempt(parts.finish, payment, lifecycle.apply(payment, approve("x"), parts.clock.now()))
    assert (await shop.stored(payment.transaction_id)).attempt.state is AttemptState.IN_FLIGHT
    for table in ("account", "event"):
        assert await shop.value(f"select count(*) from {table}") == 0  # noqa: S608 - two names of our own
    assert await shop.value("select last_account_id from consumer") is None


async def test_each_finished_payment_has_an_event(shop: Shop) -> None:
    """Approved and declined payments have an event with the blocks of the response; pending ones have none."""
    shop.acquirer.plan(Plan(), Plan(Declined("51")), Plan(lost="answer"))
    answers = [await shop.pay(metadata=f'{{"n": {n}}}') for n in range(3)]
    events = await shop.fetch("select transaction_id, status, kind, body, url, request_id from event order by position")
    assert [event["status"] for event in events] == ["success", "fail"]
    assert [event["transaction_id"] for event in events] == [paid.transaction_id for paid in answers[:2]]
    assert all(event["body"].startswith(paid.reply.body[:-1]) for event, paid in zip(events, answers, strict=False))
    assert {event["kind"] for event in events} == {"sale"}


async def test_a_change_from_another_state_is_ignored(shop: Shop) -> None:
    """A change of an attempt applies only in its expected state."""
    payment = await shop.begin()
    moved = lifecycle.set_attempt_state(payment, AttemptState.UNKNOWN)
    assert (
        await shop.parts.finish_queue.submit(FinishRecord(moved, expected=AttemptState.IN_FLIGHT, resolve_seconds=1))
        is True
    )
    assert (
        await shop.parts.finish_queue.submit(FinishRecord(moved, expected=AttemptState.IN_FLIGHT, resolve_seconds=1))
        is False
    )
    assert await shop.parts.finish_queue.submit(FinishRecord(moved, expected=AttemptState.CHALLENGED)) is False


async def test_a_final_attempt_has_no_card(shop: Shop) -> None:
    """The sealed card is deleted from an attempt when it is final."""
    payment = await shop.begin()
    assert payment.attempt.card is not None
    await finish_attempt(shop.parts.finish, payment, lifecycle.apply(payment, Declined("05"), shop.parts.clock.now()))
    assert (await shop.stored(payment.transaction_id)).attempt.card is None


async def test_concurrent_payments_finish_in_batches(shop: Shop) -> None:
    """Batches of different payments, with repeated consumers and cards, are written whole."""
    intents = [
        await shop.intent(external_id=f"user-{n % 5}", metadata=f'{{"n": {n}}}', claim=claim(f"r{n}"))
        for n in range(40)
    ]
    replies = await asyncio.gather(*(charge(shop.parts.charging, intent) for intent in intents))
    assert len({reply.body for reply in replies}) == 40
    assert await shop.value("select count(*) from event where status = 'success'") == 40
    assert await shop.value("select count(*) from consumer where last_account_id is not null") == 5
    assert await shop.value("select count(*) from account") == 5
    assert (
        await shop.value("select count(final_response_v1(merchant_id, payment_id, transaction_id)) from request_claim")
        == 40
    )


async def test_usual_reference_is_stored_by_its_parts(shop: Shop) -> None:
    """A closed attempt has the reference that the acquirer knows: the usual one takes no space, any other is stored."""
    usual, other = await shop.begin(), await shop.begin(metadata='{"n": 2}')
    await shop.fetch("update open_attempt set reference = 'moved-here' where transaction_id = $1", other.transaction_id)
    now = shop.parts.clock.now()
    for payment in (usual, other):
        await finish_attempt(shop.parts.finish, payment, lifecycle.apply(payment, approve("x"), now))
    rows = await shop.fetch("select transaction_id, reference from attempt")
    assert {tuple(row) for row in rows} == {
        (usual.transaction_id, lifecycle.name_attempt(usual.transaction_id, 1)),
        (other.transaction_id, "moved-here"),
    }
    assert await shop.value("select count(reference) from closed_attempt") == 1
