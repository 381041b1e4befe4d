"""Late approvals: the reference is reversed, and the operator is alerted.

The acquirer's own records decide in each test: no approval may remain for a payment that is not a success.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.acquirer import Plan, ScriptedAcquirer, approve
from tests.support.due import reverse_due
from tests.support.shop import MERCHANT, Shop, claim
from tests.support.timelines import read_texts

from tollhouse.acquirers.model import Approved, Declined, NotSent, ReferenceUnknown, Reversed, Unknown
from tollhouse.payments import lifecycle
from tollhouse.payments.dependencies import AttemptDependencies
from tollhouse.payments.model import AttemptState, Payment, Status
from tollhouse.payments.resolve.resolve_attempts import resolve_attempt
from tollhouse.payments.reversals import LateApprovals, count_late_approvals, lease_due_reversals, process_reversal
from tollhouse.payments.steps import FinishRecord

HOUR, DAY = 3_600, 86_400


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    """The log of a test."""
    with capture_logs() as captured:
        yield captured


def count_alerts(logs: list[Any]) -> int:
    """Count the errors about late approvals."""
    return sum((each["event"], each["log_level"]) == ("payment.approved_late", "error") for each in logs)


async def fail_unknown(shop: Shop) -> tuple[asyncio.Event, asyncio.Task[Any], Payment]:
    """Begin a payment whose request is delayed, and finish it as `fail` 1040 meanwhile."""
    held, paying = await shop.start(claim=claim("r1"))
    transaction_id = int(shop.acquirer.asked[-1].reference.partition("-")[0])
    settled = await shop.resolve(transaction_id)
    assert (settled.status, settled.code) == ("fail", "1040")
    return held, paying, settled


async def left_seconds(shop: Shop) -> int | None:
    """Return the seconds until the only reversal is due."""
    seconds = await shop.value("select extract(epoch from due_at - now()) from reversal")
    return None if seconds is None else round(float(seconds))


async def pass_time(shop: Shop, seconds: float) -> None:
    """Make reversals due that are due in the next seconds."""
    await shop.value(
        """
        update reversal
        set due_at = due_at - $1::interval, opened_at = opened_at - $1::interval,
            approved_at = approved_at - $1::interval
        """,
        timedelta(seconds=seconds),
    )


async def late_approvals(shop: Shop) -> LateApprovals:
    """Return the values of the metrics."""
    async with shop.parts.database.acquire() as connection:
        return await count_late_approvals(connection)


async def statuses(shop: Shop) -> list[str]:
    """Return the statuses of all events."""
    return [row["status"] for row in await shop.fetch("select status from event order by position")]


async def test_an_approval_after_1040_is_reversed(shop: Shop, logs: list[Any]) -> None:
    """A late approval is reversed until acknowledged, logged, counted and shown; the status stays."""
    held, paying, settled = await fail_unknown(shop)
    await reverse_due(shop.parts.attempts)
    shop.acquirer.books.clear()  # the worst acquirer: it forgot the reversal, and takes the money
    held.set()
    assert (await paying).outcome == ("fail", "1040")
    assert await late_approvals(shop) == LateApprovals(1, 1)
    assert shop.acquirer.charged == [settled.attempt.reference]

    shop.acquirer.find(Unknown("silence"), NotSent("refused"))
    for seconds in (0, 10, 60):
        await pass_time(shop, seconds)
        await reverse_due(shop.parts.attempts)
    assert shop.acquirer.charged == []
    assert await late_approvals(shop) == LateApprovals(1, 0)
    assert await statuses(shop) == ["fail"]
    stored = await shop.stored(settled.transaction_id)
    assert (stored.status, stored.code, stored.attempt.state) == ("fail", "1040", "declined")
    texts = await read_texts(shop.parts.database, settled.transaction_id)
    too_late = texts.index("The acquirer approved too late. The outcome stays, and the approval is reversed")
    assert texts.index("It is finished: fail") < too_late
    assert texts.index("Acquirer scripted confirmed that nothing is left under the reference") > too_late
    assert count_alerts(logs) == 1


async def test_the_reversal_is_committed_with_the_batch_that_finds_the_approval(shop: Shop) -> None:
    """If the process dies after the approval, other processes reverse it."""
    _, _, settled = await fail_unknown(shop)
    await shop.value("delete from reversal")
    before = await shop.stored(settled.transaction_id)
    in_flight = before.with_attempt(state=AttemptState.IN_FLIGHT)
    approved = lifecycle.apply(in_flight, approve(before.attempt.reference), shop.parts.clock.now())
    assert not await shop.parts.finish_queue.submit(FinishRecord(approved, expected=AttemptState.IN_FLIGHT))
    [row] = await shop.fetch("select reason::text, approval_code, due_at <= now() as is_due from reversal")
    assert tuple(row) == ("late_approval", approved.attempt.approval_code, True)
    await shop.die()


@pytest.mark.parametrize("outcome", [Declined("05"), Reversed(), ReferenceUnknown()])
async def test_an_approval_and_another_outcome_in_one_batch(shop: Shop, outcome: Any) -> None:
    """In one batch the first outcome counts, and a later approval is reversed."""
    payments = [await shop.begin(metadata=f'{{"n": {n}}}') for n in range(2)]
    now, moves = shop.parts.clock.now(), shop.parts.finish_queue
    ends = [(outcome, approve("x")), (approve("x"), outcome)]
    asked = [
        FinishRecord(lifecycle.apply(payment, end, now), expected=AttemptState.IN_FLIGHT)
        for payment, pair in zip(payments, ends, strict=True)
        for end in pair
    ]
    assert await asyncio.gather(*map(moves.submit, asked)) == [True, False, True, False]
    rows = await shop.fetch("select transaction_id from reversal where reason = 'late_approval'")
    assert [row["transaction_id"] for row in rows] == [payments[0].transaction_id]


async def test_the_same_approval_twice_is_no_late_one(shop: Shop, logs: list[Any]) -> None:
    """If the request and the resolver get the same approval, nothing is reversed."""
    for _ in range(5):
        held, paying = await shop.start()
        reference = shop.acquirer.asked[-1].reference
        shop.acquirer.books[reference] = approve(reference)
        await resolve_attempt(
            shop.parts.attempts, merchant_id=MERCHANT, transaction_id=int(reference.partition("-")[0])
        )
        held.set()
        assert (await paying).outcome == ("success", "0")
    await reverse_due(shop.parts.attempts)
    assert len(shop.acquirer.charged) == 5
    assert await shop.value("select count(*) from reversal") == 0
    assert count_alerts(logs) == 0


async def test_1040_reverses_and_asks_again(shop: Shop) -> None:
    """An unknown reference is reversed at once, queried after an hour and a day, and then closed."""
    await fail_unknown(shop)
    await reverse_due(shop.parts.attempts)
    assert shop.acquirer.count("reverse") == 1
    inquired = shop.acquirer.count("inquire")
    for number, seconds in enumerate((HOUR, DAY - HOUR)):
        assert abs((await left_seconds(shop) or 0) - seconds) <= 1
        await reverse_due(shop.parts.attempts)
        assert shop.acquirer.count("inquire") == inquired + number
        await pass_time(shop, seconds)
        await reverse_due(shop.parts.attempts)
    assert await left_seconds(shop) is None
    assert shop.acquirer.count("inquire") == inquired + 2
    assert await late_approvals(shop) == LateApprovals(0, 0)
    await shop.die()


async def process_one(deps: AttemptDependencies) -> None:
    """Process the only due reference, and nothing that becomes due by that."""
    [due] = await lease_due_reversals(deps, limit=1, lease_seconds=30.0)
    await process_reversal(deps, due)


@pytest.mark.parametrize("seconds", [HOUR, DAY])
async def test_an_approval_that_is_found_by_a_later_inquiry(shop: Shop, seconds: int, logs: list[Any]) -> None:
    """An approval without any response is found after an hour or a day, and reversed."""
    shop.acquirer.plan(Plan(late=True))
    paid = await shop.pay()
    assert (await shop.resolve(paid.transaction_id)).code == "1040"
    [reference] = shop.acquirer.underway
    await reverse_due(shop.parts.attempts)
    for each in range(HOUR, seconds, DAY - HOUR):
        await pass_time(shop, each)
        await reverse_due(shop.parts.attempts)
    shop.acquirer.books.clear()
    shop.acquirer.arrive(reference)
    assert shop.acquirer.charged == [reference]
    await pass_time(shop, seconds)
    await process_one(shop.parts.attempts)
    assert await late_approvals(shop) == LateApprovals(1, 1)
    await reverse_due(shop.parts.attempts)
    assert (shop.acquirer.charged, await late_approvals(shop)) == ([], LateApprovals(1, 0))
    assert count_alerts(logs) == 1
    assert await statuses(shop) == ["fail"]


async def test_a_reversed_attempt_is_queried_again(shop: Shop) -> None:
    """After 1041 the reference is queried as after 1040, because the request may still arrive."""
    held, paying = await shop.hasty.start()
    pending = await paying
    assert (await shop.void(pending.transaction_id)).payment["code"] == "1041"
    shop.acquirer.books.clear()
    shop.acquirer.plans.clear()
    reference = shop.acquirer.asked[-1].reference
    shop.acquirer.books[reference] = approve(reference)  # its answer never comes
    assert abs((await left_seconds(shop) or 0) - HOUR) <= 1
    await pass_time(shop, HOUR)
    await reverse_due(shop.parts.attempts)
    await reverse_due(shop.parts.attempts)
    assert shop.acquirer.charged == []
    held.set()


async def test_an_acquirer_without_inquiries_gets_the_reversal_again(shop: Shop) -> None:
    """Without inquiries the reversal is repeated after an hour and after a day."""
    shop.acquirer.resolves_by = "reverse"
    held, paying = await shop.start()
    reference = shop.acquirer.asked[-1].reference
    assert (await shop.resolve(int(reference.partition("-")[0]))).code == "1041"
    shop.acquirer.books[reference] = approve(reference)
    await pass_time(shop, HOUR)
    await reverse_due(shop.parts.attempts)
    assert (shop.acquirer.charged, shop.acquirer.count("inquire")) == ([], 0)
    held.set()
    await paying


async def test_without_reversals_a_late_approval_stays_counted(shop: Shop) -> None:
    """Without reversals a late approval counts until the acquirer no longer knows it."""
    shop.acquirer.can_reverse = False
    held, paying, settled = await fail_unknown(shop)
    held.set()
    await paying
    for _ in range(3):
        await reverse_due(shop.parts.attempts)
        await pass_time(shop, 300)
    assert shop.acquirer.count("reverse") == 0
    assert await late_approvals(shop) == LateApprovals(1, 1)
    shop.acquirer.books[settled.attempt.reference] = Reversed()  # by hand
    await reverse_due(shop.parts.attempts)
    assert await late_approvals(shop) == LateApprovals(1, 0)


async def test_late_operations_are_reversed(shop: Shop) -> None:
    """Operations that were reported as failed are reversed by their own reference if they were approved."""
    held = await shop.authorize()
    sale = await shop.pay(metadata='{"n": 2}')
    taken = list(shop.acquirer.charged)
    for verb, named in (("capture", held), ("void", held), ("credit", sale)):
        event = asyncio.Event()
        shop.acquirer.plan(Plan(hold=event))
        working = asyncio.create_task(getattr(shop, verb)(named.transaction_id))
        async with asyncio.timeout(5):
            while shop.acquirer.count(verb) == 0:  # noqa: ASYNC110 - it happens in another task
                await asyncio.sleep(0.002)
        operation_id = await shop.value("select max(transaction_id) from transaction where mode = $1", verb)
        assert (await shop.resolve(operation_id)).code == "1040"
        event.set()
        assert (await working).payment["status"] == "fail"
    assert len(shop.acquirer.charged) == 5
    await reverse_due(shop.parts.attempts)
    assert shop.acquirer.charged == taken


async def test_a_reversal_is_committed_before_it_is_sent(shop: Shop, other_process: Shop) -> None:
    """While a reversal runs, an approval that another process gets is not reported."""
    shop.acquirer.plan(Plan(lost="answer"))
    paid = await shop.pay()
    await shop.value("update open_attempt set sent_at = sent_at - interval '1 hour'")
    sent, heard = asyncio.Event(), asyncio.Event()

    class Slow(ScriptedAcquirer):
        async def reverse(self, reference: str, money: Any) -> Any:
            sent.set()
            await heard.wait()
            return await super().reverse(reference, money)

    slow = Slow(books=shop.acquirer.books)
    slow.find(Unknown("silence"))
    parts = replace(shop.parts, acquirers={"scripted": slow})
    reversing = asyncio.create_task(
        resolve_attempt(parts.attempts, merchant_id=MERCHANT, transaction_id=paid.transaction_id)
    )
    await sent.wait()
    stored = await other_process.stored(paid.transaction_id)
    assert stored.attempt.state is AttemptState.REVERSING
    before = stored.with_attempt(state=AttemptState.UNKNOWN)
    approved = lifecycle.apply(before, approve(stored.attempt.reference), shop.parts.clock.now())
    assert not await other_process.parts.finish_queue.submit(FinishRecord(approved, expected=AttemptState.UNKNOWN))
    heard.set()
    await reversing
    settled = await shop.stored(paid.transaction_id)
    assert (settled.status, settled.code, slow.charged) == (Status.FAIL, "1041", [])


async def test_late_approvals_in_any_order(shop: Shop) -> None:
    """In any order of approvals, reversals and inquiries, a failed payment keeps no money."""
    for number, order in enumerate(itertools.permutations(("approve", "reverse", "hour"))):
        held, paying = await shop.start(metadata=json.dumps({"n": number}))
        reference = shop.acquirer.asked[-1].reference
        await shop.resolve(int(reference.partition("-")[0]))
        for step in order:
            if step == "approve":
                shop.acquirer.books.pop(reference, None)
                held.set()
                await paying
            elif step == "reverse":
                await reverse_due(shop.parts.attempts)
            else:
                await pass_time(shop, HOUR)
        await reverse_due(shop.parts.attempts)
        assert not [each for each in shop.acquirer.charged if each == reference], order
        assert isinstance(shop.acquirer.books[reference], Reversed)


async def test_two_workers_reverse_once(shop: Shop, other_process: Shop) -> None:
    """One worker leases a due reference, and its result does not count after a late approval."""
    held, paying, settled = await fail_unknown(shop)
    both = await asyncio.gather(*(reverse_due(each.parts.attempts) for each in (shop, other_process) for _ in range(3)))
    assert sum(both) == 1
    await pass_time(shop, HOUR)
    may_respond, asked = asyncio.Event(), asyncio.Event()

    class Slow(ScriptedAcquirer):
        async def inquire(self, reference: str, money: Any) -> ReferenceUnknown:
            del reference, money
            asked.set()
            await may_respond.wait()
            return ReferenceUnknown()

    slow_parts = replace(shop.parts, acquirers={"scripted": Slow()})
    looking = asyncio.create_task(process_one(slow_parts.attempts))
    await asked.wait()
    shop.acquirer.books.clear()
    held.set()
    await paying
    may_respond.set()
    await looking
    assert isinstance(shop.acquirer.books[settled.attempt.reference], Approved)
    await reverse_due(shop.parts.attempts)
    assert shop.acquirer.charged == []


async def test_a_reversal_waits_for_its_acquirer(shop: Shop) -> None:
    """A reversal at an acquirer that is not configured waits until it is."""
    await fail_unknown(shop)
    await reverse_due(replace(shop.parts, acquirers={}).attempts)
    assert abs((await left_seconds(shop) or 0) - 300) <= 1
    await pass_time(shop, 300)
    await reverse_due(shop.parts.attempts)
    assert shop.acquirer.count("reverse") == 1
    await shop.die()
