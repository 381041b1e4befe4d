"""The simulated account updater, through the gateway's connector."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.issuing import number_of

from tollhouse.acquirers.model import (
    AccountQuery,
    AskCardholder,
    Closed,
    Unchanged,
    Unknown,
    Update,
    Updated,
)
from tollhouse.acquirers.simulated import SimulatedAcquirer
from tollhouse.kernel.card import Card, CardNumber, Expiry
from tollhouse.kernel.errors import Invalid
from tollhouse.simulator.host import Simulator


def card(name: str, expiry: Expiry | None = None) -> Card:
    """Return a published card as a customer gave it."""
    return Card(CardNumber(number_of(name)), expiry or Expiry(12, 2025), "Jane Smith")


async def ask(acquirer: SimulatedAcquirer, asked: Card) -> Update:
    """Ask about a card."""
    return await acquirer.update_account(AccountQuery("q-1", asked))


async def test_a_new_date(acquirer: SimulatedAcquirer) -> None:
    """The renewed card has a new date under its old number, and nothing is new about it once that is known."""
    stored = card("renewed")
    renewed = replace(stored, expiry=Expiry(12, 2039))
    assert await ask(acquirer, stored) == Updated(renewed)
    assert await ask(acquirer, renewed) == Unchanged()


async def test_a_new_number(acquirer: SimulatedAcquirer) -> None:
    """The replaced card has another number, about which nothing is new."""
    expected = card("replacement", Expiry(12, 2039))
    assert await ask(acquirer, card("renumbered")) == Updated(expected)
    assert await ask(acquirer, card("renumbered", Expiry(12, 2039))) == Updated(expected)
    assert await ask(acquirer, expected) == Unchanged()


async def test_cards_that_are_no_more(acquirer: SimulatedAcquirer) -> None:
    """One card is closed, of another one the cardholder has to be asked."""
    assert await ask(acquirer, card("closed")) == Closed()
    assert await ask(acquirer, card("ask_cardholder")) == AskCardholder()


@pytest.mark.parametrize("number", [number_of("visa"), number_of("renewal_54"), "4242424242424242"])
async def test_any_other_card(acquirer: SimulatedAcquirer, number: str) -> None:
    """Nothing is new about any other card, published or not."""
    assert await ask(acquirer, Card(CardNumber(number), Expiry(12, 2025))) == Unchanged()


async def test_a_faulty_question(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """A question that is none is refused, and the gateway takes that for no answer."""
    with pytest.raises(Invalid):
        await simulator.handle("/acquirer/update-account", b"{}")
    assert isinstance(await acquirer.update_account(AccountQuery("", card("closed"))), Unknown)
