"""The screen: what a look at the bytes spares is what a look at every text would not find."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.http.screen import (
    CARD_FIELDS,
    MESSAGE,
    find_card_numbers,
    find_number,
    read_page_form,
    read_screened_object,
)
from tollhouse.kernel.card import CardNumber

NUMBER, OTHER = "4024007179366348", "5555555555554444"
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.sampled_from(
        [
            NUMBER,
            OTHER,
            f"a {OTHER}",
            "5555 5555\n5555\t4444",
            "5555/5555/5555/4444",
            "5555\\5555\\5555\\4444",
            "%35" + OTHER[1:],
        ]
    ),
)
VALUES = st.recursive(
    TEXTS | st.integers() | st.just(int(OTHER)) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
WRITERS = st.sampled_from(["plain", "php", "utf-8", "spaced"])


def write(content: Any, how: str) -> bytes:
    """Write JSON as one of several libraries does."""
    text = json.dumps(content, ensure_ascii=how != "utf-8", indent=1 if how == "spaced" else None)
    return (text.replace("/", "\\/") if how == "php" else text).encode()


@given(VALUES, VALUES, TEXTS, st.sampled_from([NUMBER, int(NUMBER), OTHER, "12"]), WRITERS)
def test_the_quick_look_finds_what_the_long_one_does(beside: Any, deeper: Any, key: str, number: Any, how: str) -> None:
    """Whatever a body holds beside its card number, and however it is written, both looks name the same fields."""
    content = {"a": beside, "paymentSource": {"b": deeper, key: 1, "number": number}, key: deeper}
    read, faults = read_screened_object(write(content, how), allowed=CARD_FIELDS)
    assert faults == find_card_numbers(read, allowed=CARD_FIELDS)


@pytest.mark.parametrize("how", ["plain", "php"])
def test_a_number_beside_itself_is_found(how: str) -> None:
    """The number of the request's own card is found where it stands a second time, before its field or behind it."""
    for content in (
        {"note": NUMBER, "paymentSource": {"number": NUMBER}},
        {"paymentSource": {"number": NUMBER}, "note": NUMBER},
        {"number": NUMBER, "paymentSource": {"number": NUMBER}, "note": NUMBER},
    ):
        assert list(read_screened_object(write(content, how), allowed=CARD_FIELDS)[1]) == ["note"]
    for named in ({NUMBER: 1, "number": NUMBER}, {"number": NUMBER, NUMBER: 1}):
        assert list(read_screened_object(write(named, how), allowed=CARD_FIELDS)[1]) == [""]


def test_a_page_form_loses_fields_with_card_numbers() -> None:
    """A field of a page with a card number is left out, but for those that may have one; so is a name that has one."""
    body = f"number={NUMBER}&note=card+{OTHER}&ok=1&{OTHER}=1&phone=%2B1+212+555+1234".encode()
    assert read_page_form(body, allowed={"number"}) == {"number": NUMBER, "ok": "1", "phone": "+1 212 555 1234"}
    assert read_page_form(b"a=\xff") == read_page_form(b"a=1&" * 60) == read_page_form(b"a=%00") == {}


@pytest.mark.parametrize(
    "text",
    [
        "4024007179366348",
        "x4024007179366348x",
        "99 4024-0071/7936.6348 1",
        "4\n024007179366348",
        "%34024007179366348",
        "４024007179366348",
        "4, 0, 2, 4, 0, 0, 7, 1, 7, 9, 3, 6, 6, 3, 4, 8",
        Decimal("4.024007179366348E+15"),
        4024007179366348,
    ],
)
def test_the_own_number_is_found_in_any_writing(text: object) -> None:
    """The number of a request's card is found however it is grouped, encoded or typed, also deep in a part."""
    number = CardNumber("4024007179366348")
    assert find_number({"metadata": {"a": [{"b": text}]}}, number) == {"metadata.a.0.b": [MESSAGE]}
    assert find_number({"metadata": {"a": [{"b": "4024007179366349"}]}}, number) == {}
