"""Settling: one outcome, one event, and all that follows or nothing."""

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


async def test_two_outcomes_in_one_batch(shop: Shop) -> None:
    """Of several outcomes of one attempt in the same batch one is written, with one event that says the same."""
    payment = await shop.begin(claim=claim("r1"))
    now = shop.parts.clock.now()
    outcomes = [lifecycle.apply(payment, outcome, now) for outcome in (approve("x"), Declined("05"), approve("y"))]
    replies = await asyncio.gather(*(finish_attempt(shop.parts.finish, payment, outcome) for outcome in outcomes))
    [row] = await shop.fetch("select status::text, code from transaction")
    events = await shop.fetch("select status from event")
    assert [event["status"] for event in events] == [row["status"]]
    assert len({reply.body for reply in replies}) == 1


async def test_the_first_outcome_counts(shop: Shop) -> None:
    """Whoever comes second moves nothing and answers by what is stored."""
    payment = await shop.begin()
    now = shop.parts.clock.now()
    first = await finish_attempt(shop.parts.finish, payment, lifecycle.apply(payment, approve("x"), now))
    second = await finish_attempt(shop.parts.finish, payment, lifecycle.apply(payment, Declined("05"), now))
    assert second.body == first.body
    assert await shop.value("select count(*) from event") == 1


async def test_who_was_overtaken_keeps_nobody_back(shop: Shop) -> None:
    """In one batch with an attempt that somebody else has moved, another is moved all the same, and followed up."""
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


async def test_everything_follows_or_nothing(shop: Shop) -> None:
    """When a row that follows cannot be written, nothing of the outcome is: no status, no card, no event, no answer."""

    class NoRecipient:
        kind = FinishRows.EMAILS

        def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
            return ((payment.merchant_id, payment.transaction_id, None, None, None, "en", "{}"),)

    payment = await shop.begin(claim=claim("r1"))
    flush = shop.parts.finish_queue._flush  # noqa: SLF001 - the consequences of app, and one more
    consequences = (*flush.args[1], NoRecipient())  # type: ignore[attr-defined]
    moves = Coalescer("move", partial(finish_payments, shop.parts.clock, consequences), shop.parts.database)
    parts = replace(shop.parts, finish_queue=moves)
    with pytest.raises(Exception, match="recipient"):
        await finish_attempt(parts.finish, payment, lifecycle.apply(payment, approve("x"), parts.clock.now()))
    assert (await shop.stored(payment.transaction_id)).attempt.state is AttemptState.IN_FLIGHT
    for table in ("account", "event"):
        assert await shop.value(f"select count(*) from {table}") == 0  # noqa: S608 - two names of our own
    assert await shop.value("select last_account_id from consumer") is None


async def test_an_event_for_each_final_fact(shop: Shop) -> None:
    """Approved and declined payments have an event with the answer's own blocks; a pending one has none."""
    shop.acquirer.plan(Plan(), Plan(Declined("51")), Plan(lost="answer"))
    answers = [await shop.pay(metadata=f'{{"n": {n}}}') for n in range(3)]
    events = await shop.fetch("select transaction_id, status, kind, body, url, request_id from event order by position")
    assert [event["status"] for event in events] == ["success", "fail"]
    assert [event["transaction_id"] for event in events] == [paid.transaction_id for paid in answers[:2]]
    assert all(event["body"].startswith(paid.reply.body[:-1]) for event, paid in zip(events, answers, strict=False))
    assert {event["kind"] for event in events} == {"sale"}


async def test_a_move_from_a_state_that_is_gone(shop: Shop) -> None:
    """A move expects the state in which the attempt was seen."""
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


async def test_a_final_attempt_forgets_its_card(shop: Shop) -> None:
    """The sealed card stays with an attempt until it is final, and no longer."""
    payment = await shop.begin()
    assert payment.attempt.card is not None
    await finish_attempt(shop.parts.finish, payment, lifecycle.apply(payment, Declined("05"), shop.parts.clock.now()))
    assert (await shop.stored(payment.transaction_id)).attempt.card is None


async def test_many_payments_settle_side_by_side(shop: Shop) -> None:
    """Batches of different payments, repeated consumers and cards among them, are written whole."""
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
        await shop.value(
            "select count(recorded_response_v1(merchant_id, payment_id, transaction_id)) from request_claim"
        )
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
