"""Disputes of the card that is charged back, as the simulated acquirer tells them to the gateway's connector."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from tests.support.issuing import operation, order

from tollhouse.acquirers.model import AcquirerDispute, Approved, Authorization, Declined, DisputeQuery
from tollhouse.acquirers.simulated import SimulatedAcquirer
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.money import Currency, Money
from tollhouse.simulator.host import InProcessTransport, Simulator
from tollhouse.storage.database import Database

#: Long past in real time, so that nothing here depends on that.
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DUE_AT = AT + timedelta(days=3)


async def sell(acquirer: SimulatedAcquirer, **changes: Any) -> Authorization:
    """Let the card that is charged back be charged."""
    fields: dict[str, Any] = {"transacted_at": AT, "acceptor": "1"} | changes
    sale = order("charged_back", **fields)
    assert isinstance(await acquirer.authorize(sale), Approved)
    return sale


async def told(acquirer: SimulatedAcquirer, until: datetime = DUE_AT, **query: Any) -> tuple[AcquirerDispute, ...]:
    """Ask for disputes."""
    page = await acquirer.list_disputes(DisputeQuery(until, **query))
    assert isinstance(page, tuple)
    return page


async def test_a_sale_is_charged_back_on_the_third_day(acquirer: SimulatedAcquirer) -> None:
    """A dispute is told from three days after the merchant's time of the sale on, with what was taken."""
    sale = await sell(acquirer)
    assert await told(acquirer, DUE_AT - timedelta(microseconds=1)) == ()
    [dispute] = await told(acquirer)
    assert dispute == AcquirerDispute(
        dispute.dispute_id, "1", sale.reference, Money(1999, Currency.of("USD")), "10.4", DUE_AT
    )


async def test_other_cards_are_not_charged_back(acquirer: SimulatedAcquirer) -> None:
    """Neither another card is charged back, nor what was declined, only verified, or only held."""
    await acquirer.authorize(order(transacted_at=AT))
    assert await acquirer.authorize(order("charged_back", emulate_code="0051", transacted_at=AT)) == Declined("51")
    await sell(acquirer, amount_minor=0, capture=False)
    await sell(acquirer, capture=False)
    assert await told(acquirer) == ()


async def test_a_capture_is_charged_back(acquirer: SimulatedAcquirer) -> None:
    """The three days of an authorization begin with its capture, and what was captured is disputed."""
    held = await sell(acquirer, capture=False)
    captured = operation(held, 500, transacted_at=AT + timedelta(days=2))
    assert isinstance(await acquirer.capture(captured), Approved)
    assert await told(acquirer) == ()
    [dispute] = await told(acquirer, DUE_AT + timedelta(days=2))
    assert (dispute.reference, dispute.money.amount_minor) == (captured.reference, 500)


async def test_returned_amount_is_not_disputed(acquirer: SimulatedAcquirer) -> None:
    """A voided or reversed sale is not disputed; of a partly refunded one the rest is."""
    voided, reversed_, credited, gone = [await sell(acquirer) for _ in range(4)]
    assert isinstance(await acquirer.void(operation(voided)), Approved)
    await acquirer.reverse(reversed_.reference, reversed_.money)
    assert isinstance(await acquirer.credit(operation(credited, 1000)), Approved)
    assert isinstance(await acquirer.credit(operation(gone)), Approved)
    [dispute] = await told(acquirer)
    assert (dispute.reference, dispute.money.amount_minor) == (credited.reference, 999)


async def test_a_capture_that_was_reversed(acquirer: SimulatedAcquirer) -> None:
    """A capture that was taken back is not disputed."""
    held = await sell(acquirer, capture=False)
    captured = operation(held, transacted_at=AT)
    await acquirer.capture(captured)
    await acquirer.reverse(captured.reference, captured.money)
    assert await told(acquirer) == ()


async def test_a_dispute_is_told_until_it_is_acknowledged(
    simulator: Simulator, acquirer: SimulatedAcquirer, simulator_database: Database
) -> None:
    """Asked again, also after a restart, the acquirer tells the same disputes; what was acknowledged it does not."""
    await sell(acquirer)
    await sell(acquirer)
    first = await told(acquirer)
    await simulator.close()
    successor = Simulator(simulator_database, base_url="http://localhost")
    again = SimulatedAcquirer(InProcessTransport(successor))
    assert await told(again) == first
    for _ in range(2):
        assert await again.acknowledge_disputes([first[0].dispute_id])
    assert await told(again) == first[1:]
    assert not await again.acknowledge_disputes([first[1].dispute_id, str(uuid4())])
    await successor.close()


async def test_repeated_sale_is_disputed_once(acquirer: SimulatedAcquirer) -> None:
    """A repeated sale or capture is charged back once."""
    sale = await sell(acquirer)
    await acquirer.authorize(sale)
    held = await sell(acquirer, capture=False)
    captured = operation(held, transacted_at=AT)
    for _ in range(2):
        await acquirer.capture(captured)
    assert sorted(dispute.reference for dispute in await told(acquirer)) == sorted([sale.reference, captured.reference])


async def test_disputes_are_filtered_by_merchant_and_clock(acquirer: SimulatedAcquirer) -> None:
    """A query lists one merchant's disputes or all; a merchant with an advanced clock has its own instant."""
    mine, other = await sell(acquirer), await sell(acquirer, acceptor="2")
    assert [each.reference for each in await told(acquirer, acceptor="2")] == [other.reference]
    assert {each.reference for each in await told(acquirer)} == {mine.reference, other.reference}
    assert [each.reference for each in await told(acquirer, AT, ahead={"2": DUE_AT})] == [other.reference]
    assert [each.reference for each in await told(acquirer, ahead={"2": AT})] == [mine.reference]
    assert await told(acquirer, acceptor="3") == ()


async def test_disputes_are_paged_by_due_time(acquirer: SimulatedAcquirer) -> None:
    """A page has at most a hundred disputes, in the order of their due times, and the next page continues there."""
    for minutes in range(103):
        await sell(acquirer, transacted_at=AT - timedelta(minutes=minutes))
    first = await told(acquirer)
    second = await told(acquirer, after=first[-1].dispute_id)
    assert (len(first), len(second)) == (100, 3)
    dates = [dispute.due_at for dispute in (*first, *second)]
    assert dates == sorted(dates)
    assert await told(acquirer, after=second[-1].dispute_id) == ()


async def test_sale_without_time_counts_from_arrival(acquirer: SimulatedAcquirer) -> None:
    """Without a transaction time in the message, the days count from its arrival."""
    await sell(acquirer, transacted_at=None)
    [dispute] = await told(acquirer, datetime.max.replace(tzinfo=UTC))
    assert dispute.due_at > datetime.now(UTC) + timedelta(days=2)


@pytest.mark.parametrize(
    ("path", "body"),
    [("", b"{}"), ("", b'{"until": "2026-01-02T03:04:05"}'), ("/acknowledge", b'{"ids": ["1"]}')],
)
async def test_faulty_questions(simulator: Simulator, path: str, body: bytes) -> None:
    """A faulty question is refused."""
    with pytest.raises(Invalid):
        await simulator.handle(f"/acquirer/disputes{path}", body)
