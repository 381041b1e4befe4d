"""Reasons of declines, as consumers read them."""

from __future__ import annotations

import pytest

from tollhouse.checkout.pay_view import REASONS, choose_reason
from tollhouse.checkout.words import languages, words_of
from tollhouse.kernel.codes import list_codes


@pytest.mark.parametrize("language", sorted(languages()))
def test_every_code_has_a_reason(language: str) -> None:
    """Whatever a payment ends with, there are words for it in every language."""
    words = words_of(language)
    assert all(words.say(choose_reason(one.code, is_canceled=False)) for one in list_codes())
    assert words.say(choose_reason("1010", is_canceled=True))


def test_reasons_are_those_of_known_codes() -> None:
    """No reason is kept for a code that there is not."""
    assert REASONS.keys() <= {one.code for one in list_codes()}


@pytest.mark.parametrize("code", ["5004", "5007", "5041", "5043", "5059", "5063"])
def test_lost_and_stolen_cards_have_no_reason_of_their_own(code: str) -> None:
    """A person who tries stolen cards out learns nothing from the page."""
    assert choose_reason(code, is_canceled=False) == "reason_other"
