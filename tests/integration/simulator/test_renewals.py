"""Merchant-initiated charges: with a network transaction ID of this issuer, by the rules of the renewal cards."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.integration.simulator.test_issuer import read_journal
from tests.support.issuing import order

from tollhouse.acquirers.model import Approved, Authorization, Declined, Unknown
from tollhouse.acquirers.simulated import SimulatedAcquirer
from tollhouse.simulator.cards import published_cards
from tollhouse.simulator.host import InProcessTransport, Simulator
from tollhouse.storage.database import Database

DECLINING = [name for name, card in published_cards().items() if card.renewal_code and card.renewal_declines is None]


async def agree(acquirer: SimulatedAcquirer, name: str = "visa", **changes: Any) -> str:
    """Let a customer pay, and return the network transaction id that the issuer gave for it."""
    answer = await acquirer.authorize(order(name, **changes))
    assert isinstance(answer, Approved)
    assert answer.network_transaction_id
    return answer.network_transaction_id


def renewal(agreement: str | None, name: str = "visa", **changes: Any) -> Authorization:
    """Build a charge by the merchant."""
    defaults = {"initiator": "merchant", "reason": "recurring", "cvv": None, "network_transaction_id": agreement}
    return order(name, **(defaults | changes))


async def test_a_renewal_under_its_agreement(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """A charge that shows the id of a customer's approval passes and keeps that id, also after a mere verification."""
    for agreement in (await agree(acquirer), await agree(acquirer, amount_minor=0, capture=False)):
        for _ in range(2):
            charge = renewal(agreement)
            answer = await acquirer.authorize(charge)
            assert isinstance(answer, Approved)
            assert answer.network_transaction_id == agreement
            assert await acquirer.inquire(charge.reference, charge.money) == answer
            assert (await read_journal(simulator))[charge.reference]["agreement"] == agreement


async def test_each_sign_up_is_an_agreement_of_its_own(acquirer: SimulatedAcquirer) -> None:
    """Two approvals of one customer with one card have two ids, and each is good."""
    first, second = await agree(acquirer), await agree(acquirer)
    assert first != second
    for agreement in (first, second):
        assert isinstance(await acquirer.authorize(renewal(agreement)), Approved)


async def test_invalid_network_transaction_id_declines(acquirer: SimulatedAcquirer) -> None:
    """A missing or invented ID, one of another card, or one of a reversed approval declines 12."""
    undone = order()
    answer = await acquirer.authorize(undone)
    assert isinstance(answer, Approved)
    await acquirer.reverse(undone.reference, undone.money)
    for wrong in (None, "123456789012345", await agree(acquirer, "visa_2"), answer.network_transaction_id):
        charge = renewal(wrong)
        assert await acquirer.authorize(charge) == Declined("12")
        assert await acquirer.authorize(charge) == Declined("12")
        assert await acquirer.inquire(charge.reference, charge.money) == Declined("12")


async def test_a_declined_charge_makes_no_agreement(acquirer: SimulatedAcquirer) -> None:
    """Nothing that a merchant tried under a wrong id makes that id a right one."""
    assert await acquirer.authorize(renewal("987654321098765")) == Declined("12")
    assert await acquirer.authorize(renewal("987654321098765")) == Declined("12")
    forced = await acquirer.authorize(renewal("987654321098765", emulate_code="0000"))
    assert isinstance(forced, Approved)
    assert await acquirer.authorize(renewal("987654321098765")) == Declined("12")


async def test_a_forced_sign_up_is_an_agreement(acquirer: SimulatedAcquirer) -> None:
    """An approval by emulateCode gives a network transaction ID, with which the card follows its own rules."""
    agreement = await agree(acquirer, "renewal_51", emulate_code="0000")
    assert await acquirer.authorize(renewal(agreement, "renewal_51")) == Declined("51")


@pytest.mark.parametrize("name", DECLINING)
async def test_cards_that_decline_renewals(acquirer: SimulatedAcquirer, name: str) -> None:
    """A card for renewals approves its customer and declines each try of the merchant with its codes."""
    card = published_cards()[name]
    agreement = await agree(acquirer, name)
    assert card.renewal_code is not None
    for _ in range(2):
        answer = await acquirer.authorize(renewal(agreement, name))
        assert answer == Declined(card.renewal_code, card.renewal_advice)


@pytest.mark.parametrize("tries", [1, 2, 4])
async def test_cards_that_decline_the_first_tries(acquirer: SimulatedAcquirer, tries: int) -> None:
    """The first tries under an agreement are declined, the later ones approved; a repeated message is no try."""
    name = f"renewal_after_{tries}"
    for agreement in (await agree(acquirer, name), await agree(acquirer, name)):
        for _ in range(tries):
            charge = renewal(agreement, name)
            assert await acquirer.authorize(charge) == Declined("51")
            assert await acquirer.authorize(charge) == Declined("51")
        for _ in range(2):
            assert isinstance(await acquirer.authorize(renewal(agreement, name)), Approved)


async def test_tries_at_once(acquirer: SimulatedAcquirer) -> None:
    """Of tries that come at the same time, as many as the card says are declined."""
    agreement = await agree(acquirer, "renewal_after_4")
    answers = await asyncio.gather(*(acquirer.authorize(renewal(agreement, "renewal_after_4")) for _ in range(10)))
    assert answers.count(Declined("51")) == 4
    assert sum(isinstance(answer, Approved) for answer in answers) == 6


async def test_a_wrong_agreement_is_no_try(acquirer: SimulatedAcquirer) -> None:
    """A decline for a wrong network transaction ID does not count for another one."""
    agreement = await agree(acquirer, "renewal_after_1")
    assert await acquirer.authorize(renewal("1", "renewal_after_1")) == Declined("12")
    assert await acquirer.authorize(renewal(agreement, "renewal_after_1")) == Declined("51")


async def test_a_replaced_number_goes_on(acquirer: SimulatedAcquirer) -> None:
    """An id passes from a number to the one that took its place, not back and to no third."""
    agreement = await agree(acquirer, "renumbered")
    assert isinstance(await acquirer.authorize(renewal(agreement, "replacement")), Approved)
    assert await acquirer.authorize(renewal(agreement, "visa")) == Declined("12")
    own = await agree(acquirer, "replacement")
    assert await acquirer.authorize(renewal(own, "renumbered")) == Declined("54")


async def test_agreements_survive_a_restart(
    simulator: Simulator, acquirer: SimulatedAcquirer, simulator_database: Database
) -> None:
    """A new process on the same database knows the ids and the tries."""
    agreement = await agree(acquirer, "renewal_after_1")
    assert await acquirer.authorize(renewal(agreement, "renewal_after_1")) == Declined("51")
    await simulator.close()
    successor = Simulator(simulator_database, base_url="http://localhost")
    again = SimulatedAcquirer(InProcessTransport(successor))
    assert isinstance(await again.authorize(renewal(agreement, "renewal_after_1")), Approved)
    await successor.close()


async def test_only_a_customers_approval_needs_an_id(acquirer: SimulatedAcquirer) -> None:
    """An emulated approval of a merchant's charge without an agreement is an approval, though it has no id."""
    answer = await acquirer.authorize(renewal(None, emulate_code="0000"))
    assert not isinstance(answer, Unknown)
    assert isinstance(answer, Approved)
    assert answer.network_transaction_id is None
