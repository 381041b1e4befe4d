"""Numbers of test payment data."""

from __future__ import annotations

import pytest

from tollhouse.kernel.card import CardNumber, is_luhn_valid
from tollhouse.simulator.cards import find_card
from tollhouse.simulator.test_data import RANGES, build_iban, draw_number


@pytest.mark.parametrize("brand", RANGES)
def test_a_number_is_of_its_brand(brand: str) -> None:
    """Every number has its check digit, the brand that was requested, a length of it, and is not published."""
    for number in {draw_number(brand) for _ in range(50)}:
        assert is_luhn_valid(number)
        assert CardNumber.parse(number).brand.name == brand
        assert len(number) in CardNumber(number).brand.lengths
        assert find_card(CardNumber(number)) is None


def test_an_iban_has_its_check_digits() -> None:
    """An IBAN is right by ISO 7064 MOD 97-10: moved to the front and read as a number, it leaves 1."""
    for iban in (draw_number("sepa"), build_iban("0000000000"), build_iban("9999999999")):
        assert len(iban) == 22
        assert int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1
