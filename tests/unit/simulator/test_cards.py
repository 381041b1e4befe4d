"""The published set of test cards, and the page that prints it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tollhouse.kernel import codes
from tollhouse.kernel.card import CardNumber, detect_brand, is_luhn_valid
from tollhouse.simulator.cards import find_card, published_cards
from tollhouse.simulator.model import DeliveryMode, PublishedCard

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "test-cards.md"

CARDS = list(published_cards().values())
each_card = pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)


@each_card
def test_a_number_is_well_formed(card: PublishedCard) -> None:
    """Every published number has its check digit, the brand it claims, and a length that the brand has."""
    brand = detect_brand(card.number)

    assert is_luhn_valid(card.number)
    assert brand.name == card.brand
    assert len(card.number) in brand.lengths


def test_numbers_are_published_once() -> None:
    """No number stands for two cards."""
    assert len({card.number for card in CARDS}) == len(CARDS)


@pytest.mark.parametrize("number", ["4024007179366348", "4111111111111111", "4000006966642547", "4000000404793202"])
def test_cards_of_the_quickstart_approve(number: str) -> None:
    """The numbers of the quickstart are plain approving cards."""
    card = find_card(CardNumber(number))

    assert card is not None
    assert card.response_code == "00"
    assert card.authentication is None
    assert card.delivery is DeliveryMode.PROMPT


def test_every_brand_has_an_approving_card() -> None:
    """A merchant can see each brand approved."""
    approving = {card.brand for card in CARDS if card.group == "approve"}

    expected = {"visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay", "maestro"}
    assert approving == expected


def test_an_unpublished_number_is_no_card() -> None:
    """A number outside the table is not found."""
    assert find_card(CardNumber("4242424242424242")) is None


@each_card
def test_texts_tell_the_code_of_a_decline(card: PublishedCard) -> None:
    """The text of a declining card names the code that the gateway will show."""
    for response_code in {card.response_code, card.proven_code or "00", card.renewal_code or "00"} - {"00"}:
        code = codes.translate_response_code(response_code, brand=card.brand).code
        # A merchant cannot authenticate anybody, and the gateway has a code of its own for that.
        is_soft_renewal = response_code == card.renewal_code and code == codes.SOFT_DECLINE

        assert f"`{response_code}`" in card.does
        assert f"code {codes.AUTHENTICATION_REQUIRED if is_soft_renewal else code}" in card.does


@each_card
def test_the_page_prints_the_table(card: PublishedCard) -> None:
    """docs/reference/test-cards.md has every card, with its number, brand and what it does."""
    number = re.sub(r"(.{4})(?!$)", r"\1 ", card.number)

    assert f"| `{number}` | {card.brand} | {card.does} |" in PAGE.read_text()


def test_the_page_prints_nothing_else() -> None:
    """The page has no row for a card that is not in the table."""
    printed = re.findall(r"^\| `(\d{4} [\d ]+)` \|", PAGE.read_text(), re.MULTILINE)

    assert sorted(number.replace(" ", "") for number in printed) == sorted(card.number for card in CARDS)
