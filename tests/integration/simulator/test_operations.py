"""Captures, voids and credits through the gateway's connector: one effect for each reference, balances that follow."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.support.issuing import operation, order

from tollhouse.acquirers.model import (
    AcquirerOperation,
    Approved,
    Authorization,
    Declined,
    Finding,
    ReferenceUnknown,
    Reversed,
    Unknown,
)
from tollhouse.acquirers.simulated import SimulatedAcquirer
from tollhouse.simulator.host import InProcessTransport, Simulator


async def authorize(acquirer: SimulatedAcquirer, name: str = "balance", amount_minor: int = 6000) -> Authorization:
    """Hold an amount on a card."""
    held = order(name, amount_minor, capture=False)
    assert isinstance(await acquirer.authorize(held), Approved)
    return held


async def sell(acquirer: SimulatedAcquirer, name: str = "balance", amount_minor: int = 6000) -> Authorization:
    """Charge a card."""
    sale = order(name, amount_minor)
    assert isinstance(await acquirer.authorize(sale), Approved)
    return sale


async def count_left(acquirer: SimulatedAcquirer) -> int:
    """Find what is on the card with the balance by taking it, in steps of 10.00, and giving it back."""
    taken = [order("balance", 1000) for _ in range(12)]
    answers = [await acquirer.authorize(sale) for sale in taken]
    for sale in taken:
        await acquirer.reverse(sale.reference, sale.money)
    return sum(1000 for answer in answers if isinstance(answer, Approved))


async def test_a_capture_takes_and_releases_the_rest(acquirer: SimulatedAcquirer) -> None:
    """A part is captured, the rest is back on the card at once, and nothing is left to capture."""
    held = await authorize(acquirer)
    captured = operation(held, 2000)
    answer = await acquirer.capture(captured)

    assert isinstance(answer, Approved)
    assert answer.network_transaction_id is None
    assert await acquirer.inquire(captured.reference, captured.money) == answer
    assert await count_left(acquirer) == 8000
    assert await acquirer.capture(operation(held, 1)) == Declined("13")


async def test_a_void_gives_back(acquirer: SimulatedAcquirer) -> None:
    """A void returns all that was held; what is voided is neither captured nor voided again."""
    held = await authorize(acquirer)

    assert isinstance(await acquirer.void(operation(held)), Approved)
    assert await count_left(acquirer) == 10000
    assert await acquirer.capture(operation(held)) == Declined("12")
    assert await acquirer.void(operation(held)) == Declined("12")
    assert isinstance(await acquirer.void(operation(await sell(acquirer))), Approved)
    assert await count_left(acquirer) == 10000


async def test_credits_give_back_up_to_what_was_taken(acquirer: SimulatedAcquirer) -> None:
    """Credits of a sale, or of an authorization by its own name or its capture's, end at what was captured."""
    held = await authorize(acquirer)
    capture = operation(held, 4000)
    await acquirer.capture(capture)

    assert isinstance(await acquirer.credit(operation(held, 1000)), Approved)
    by_capture = operation(held, 3000, original_reference=capture.reference)
    assert isinstance(await acquirer.credit(by_capture), Approved)
    assert await acquirer.credit(operation(held, 1)) == Declined("13")
    assert await count_left(acquirer) == 10000
    sale = await sell(acquirer)
    answers = await asyncio.gather(*(acquirer.credit(operation(sale, 2500)) for _ in range(8)))
    assert sum(isinstance(answer, Approved) for answer in answers) == 2
    assert sum(answer == Declined("13") for answer in answers) == 6


async def test_a_reference_has_one_effect(acquirer: SimulatedAcquirer) -> None:
    """The same credit again, many at once too, gets the same answer and gives back once."""
    credit = operation(await sell(acquirer), 1000)
    answers = await asyncio.gather(*(acquirer.credit(credit) for _ in range(12)))

    assert len(set(answers)) == 1
    assert isinstance(answers[0], Approved)
    assert await count_left(acquirer) == 5000


async def test_unknown_original_is_declined(acquirer: SimulatedAcquirer) -> None:
    """An operation on an unknown reference is declined 25, and the decline is final; an inquiry finds nothing."""
    lost = operation(order())

    assert await acquirer.capture(lost) == Declined("25")
    assert await acquirer.inquire(lost.reference, lost.money) == Declined("25")
    assert await acquirer.inquire("never-seen", order().money) == ReferenceUnknown()
    declined = order("decline_51")
    await acquirer.authorize(declined)
    assert await acquirer.credit(operation(declined)) == Declined("12")


async def test_reversals_undo_operations(acquirer: SimulatedAcquirer) -> None:
    """A reversed capture is held again, a reversed void too, a reversed credit is taken again; each once."""
    held = await authorize(acquirer)
    capture, void = operation(held), operation(held)
    await acquirer.capture(capture)
    assert (
        await asyncio.gather(*(acquirer.reverse(capture.reference, capture.money) for _ in range(4)))
        == [Reversed()] * 4
    )
    assert await acquirer.inquire(capture.reference, capture.money) == Reversed()
    assert isinstance(await acquirer.void(void), Approved)
    assert await acquirer.reverse(void.reference, void.money) == Reversed()
    assert await count_left(acquirer) == 4000
    assert isinstance(await acquirer.capture(operation(held)), Approved)
    credit = operation(held, 2000)
    assert isinstance(await acquirer.credit(credit), Approved)
    assert await acquirer.reverse(credit.reference, credit.money) == Reversed()
    assert await acquirer.reverse(credit.reference, credit.money) == Reversed()
    assert await count_left(acquirer) == 4000
    assert isinstance(await acquirer.credit(operation(held)), Approved)


async def test_a_reversal_of_the_original_returns_what_is_left(acquirer: SimulatedAcquirer) -> None:
    """An authorization that was captured in part and credited in part gives back the rest, and is dead."""
    held = await authorize(acquirer)
    await acquirer.capture(operation(held, 4000))
    await acquirer.credit(operation(held, 1000))

    assert await acquirer.reverse(held.reference, held.money) == Reversed()
    assert await count_left(acquirer) == 10000
    assert await acquirer.credit(operation(held, 1000)) == Declined("12")


async def test_a_reversal_may_come_first(acquirer: SimulatedAcquirer) -> None:
    """An operation whose reversal came first is refused and moves nothing."""
    credit = operation(await sell(acquirer))

    assert await acquirer.reverse(credit.reference, credit.money) == Reversed()
    assert await acquirer.credit(credit) == Declined("12")
    assert await acquirer.credit(credit) == Declined("12")
    assert await acquirer.inquire(credit.reference, credit.money) == Reversed()
    assert await count_left(acquirer) == 4000


@pytest.mark.parametrize(
    ("name", "verb"), [("capture_declined", "capture"), ("void_declined", "void"), ("credit_declined", "credit")]
)
async def test_cards_that_decline(acquirer: SimulatedAcquirer, name: str, verb: str) -> None:
    """The card declines its own kind of operation with 57."""
    original = await (sell if verb == "credit" else authorize)(acquirer, name)

    assert await getattr(acquirer, verb)(operation(original)) == Declined("57")


async def test_operation_delivery_faults_occur(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """A card's operations are lost, dropped, slow, silent or doubled, and an inquiry shows the outcome."""
    impatient = SimulatedAcquirer(InProcessTransport(simulator), timeout_seconds=0.2)
    found: dict[str, tuple[Finding, Finding]] = {}
    for name in ("lost", "never_arrives", "slow", "silent", "twice"):
        credit = operation(await sell(acquirer, f"operation_{name}"), 100)
        found[name] = (await impatient.credit(credit), await acquirer.inquire(credit.reference, credit.money))

    assert isinstance(found["lost"][0], Unknown)
    assert isinstance(found["lost"][1], Approved)
    assert isinstance(found["never_arrives"][0], Unknown)
    assert found["never_arrives"][1] == ReferenceUnknown()
    assert found["slow"][0] == found["slow"][1]
    assert found["silent"][0] == Unknown("TimeoutError")
    assert isinstance(found["silent"][1], Approved)
    assert found["twice"][0] == found["twice"][1]
    assert isinstance(found["twice"][1], Approved)


async def test_a_late_operation_after_its_reversal(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """Reversed while it is on its way, the late capture still says approved, and captures nothing."""
    held = await authorize(acquirer, "operation_late")
    capture = operation(held)
    impatient = SimulatedAcquirer(InProcessTransport(simulator), timeout_seconds=0.05)

    assert await impatient.capture(capture) == Unknown("TimeoutError")
    assert await acquirer.inquire(capture.reference, capture.money) == ReferenceUnknown()
    assert await acquirer.reverse(capture.reference, capture.money) == Reversed()
    assert isinstance(await settled(acquirer, capture), Approved)
    assert await acquirer.inquire(capture.reference, capture.money) == Reversed()
    void = await acquirer.void(replace(capture, reference="a-void", emulate_code="0000"))
    assert isinstance(void, Approved)


async def settled(acquirer: SimulatedAcquirer, capture: AcquirerOperation) -> Finding:
    """Send the same capture again and join the one that is under way."""
    return await acquirer.capture(capture)


async def test_of_a_capture_and_a_void_one_wins(acquirer: SimulatedAcquirer) -> None:
    """Captures, voids and reversals that come at once leave the books whole: nothing is taken and given back too."""
    for _ in range(6):
        held = await authorize(acquirer, amount_minor=5000)
        capture, void = operation(held), operation(held)
        answers = await asyncio.gather(
            acquirer.capture(capture),
            acquirer.void(void),
            acquirer.capture(operation(held)),
            acquirer.void(operation(held)),
            acquirer.capture(capture),
        )
        # A void may follow the capture that it undoes; never the other way round, and never twice.
        assert 1 <= sum(isinstance(answer, Approved) for answer in {*answers}) <= 2
        await asyncio.gather(acquirer.reverse(held.reference, held.money), acquirer.reverse(held.reference, held.money))
        assert await count_left(acquirer) == 10000
