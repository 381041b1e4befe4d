"""Countries are read as clients write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso3166 import Country, countries

from tollhouse.kernel.countries import read_country, to_alpha_2


@given(st.sampled_from(list(countries)), st.sampled_from([str.upper, str.lower, str.title]))
def test_every_spelling_of_a_country_is_the_same(country: Country, spell: Callable[[str], str]) -> None:
    """Two letters or three, in any case, with spaces around: the same three capital letters."""
    for code in (country.alpha2, country.alpha3):
        assert read_country(f" {spell(code)} ") == country.alpha3
    assert to_alpha_2(country.alpha3) == country.alpha2


@pytest.mark.parametrize(
    ("text", "code"), [("FIJ", "FIJ"), ("ANT", "ANT"), ("fij", "FIJ"), ("uk", "GBR"), ("XK", "XKX"), ("AN", "ANT")]
)
def test_codes_of_shops_that_no_table_has(text: str, code: str) -> None:
    """Codes of three letters that no table has stay, and reserved codes of two letters have one of three."""
    assert read_country(text) == code


@pytest.mark.parametrize("text", ["", "G", "ZZ", "GBRX", "12", "123", "G1", "United Kingdom", "ÄÖ", "1US"])
def test_invalid_country_is_rejected(text: str) -> None:
    """A text that is not a code, and two letters that are in no table, are rejected."""
    with pytest.raises(ValueError, match="must be a country"):
        read_country(text)
