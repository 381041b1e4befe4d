"""The table of payment codes is whole."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.kernel import codes

TABLE: dict[str, Any] = tomllib.loads(files("tollhouse.kernel").joinpath("codes.toml").read_text())
ROWS = {f"{name}.{key}": row for name in ("ours", "iso", "iso_mastercard") for key, row in TABLE[name].items()} | {
    "iso_unknown": TABLE["iso_unknown"]
}
NAMED = {value for name, value in vars(codes).items() if name.isupper() and isinstance(value, str)}
OURS = NAMED - {codes.SOFT_DECLINE}


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_whole(name: str) -> None:
    """Each row has a text, and each decline a category and an advice that exist."""
    row = ROWS[name]
    assert row["text"].strip()
    if name != "ours.0":
        assert row["category"] in {1, 2, 3, 4}
        assert row["retry"] in {"never", "later", "with_changes", "with_3ds"}


def test_category_one_never_invites_a_retry() -> None:
    """A code that forbids a retry does not advise a later retry."""
    inviting = [name for name, row in ROWS.items() if row.get("category") == 1 and row["retry"] == "later"]
    assert not inviting


def test_the_table_names_its_edition() -> None:
    """The table names its edition, so that a code can be traced to it."""
    assert {"name", "date", "source"} <= set(TABLE["edition"])


def test_our_own_codes_are_in_the_table() -> None:
    """Each code that the program can give by itself is described."""
    assert set(TABLE["ours"]) == OURS


@pytest.mark.parametrize(
    ("response", "brand", "code"),
    [
        ("05", "visa", "5005"),
        ("51", "visa", "5051"),
        ("82", "visa", "5082"),
        ("10", "visa", "5010"),
        ("1A", "visa", "5201"),
        ("65", "mastercard", "5201"),
        ("65", "visa", "5065"),
        ("N7", "visa", "5202"),
        ("R0", "visa", "5210"),
        ("R1", "mastercard", "5211"),
        ("R3", "visa", "5213"),
        ("Z3", "visa", "5299"),
        ("99", "visa", "5299"),
        ("00", "visa", "5000"),
        ("", "visa", "5299"),
        ("123", "visa", "5299"),
        ("٥١", "visa", "5299"),
    ],
)
def test_issuers_codes(response: str, brand: str, code: str) -> None:
    """A numeric answer keeps its number but for 99, named letters have theirs, and all others are 5299."""
    assert codes.translate_response_code(response, brand=brand).code == code


@given(st.text(max_size=4), st.sampled_from(["visa", "mastercard", "unknown"]))
def test_whatever_an_issuer_says_has_a_code(response: str, brand: str) -> None:
    """Any answer becomes a code of four digits with a text and a category, and the code alone says the same later."""
    code = codes.translate_response_code(response, brand=brand)
    assert len(code.code) == 4
    assert code.code.isascii()
    assert code.code.isdigit()
    assert code.text
    assert code.category
    assert codes.get_code(code.code) == code


def test_all_codes_once() -> None:
    """The published table has each code once, approval first."""
    published = [code.code for code in codes.list_codes()]
    assert published[0] == codes.APPROVED
    assert len(published) == len(set(published))
    assert {"1040", "5051", "5201"} <= set(published)


def test_unknown_codes_are_described() -> None:
    """A code of a later edition has a text."""
    assert codes.get_code("5098").text == TABLE["iso_unknown"]["text"]
    assert codes.get_code("5098").code == "5098"


def test_lost_and_stolen_have_the_same_text() -> None:
    """The texts do not distinguish lost, stolen, picked-up and suspected cards."""
    assert (
        len({codes.translate_response_code(code, brand="visa").text for code in ("04", "07", "41", "43", "59", "63")})
        == 1
    )
