"""Identifiers do not repeat."""

from __future__ import annotations

import pytest

from tollhouse.kernel.ids import MAX_ID, is_consumer_id, new_consumer_id, new_request_id, parse_id, write_consumer_id


def test_consumer_ids_have_their_form() -> None:
    """A consumer's id is `c` and 24 characters that cannot be misread."""
    drawn = {new_consumer_id() for _ in range(500)}
    assert len(drawn) == 500
    assert all(map(is_consumer_id, drawn))
    assert not set("".join(drawn)) & set("ilouABC")


def test_the_writing_of_a_consumer_id_stays() -> None:
    """The same bytes are the same id in every release: derived ids name consumers that exist."""
    assert write_consumer_id(bytes(range(15))) == "ce83rg581902e03m04r04g000"


@pytest.mark.parametrize("text", ["", "c", "c" * 24, "c" * 26, "d" + "0" * 24, "c" + "l" * 24, "c" + "0" * 23 + "O"])
def test_merchants_own_id_is_no_consumer_id(text: str) -> None:
    """A merchant's own ID does not have the form of a gateway ID."""
    assert not is_consumer_id(text)


def test_request_ids_differ() -> None:
    """Each request without an id gets one of its own."""
    assert len({new_request_id() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("42", 42),
        (str(MAX_ID), MAX_ID),
        (str(MAX_ID + 1), None),
        ("", None),
        ("-1", None),
        ("\u0664\u0662", None),
    ],
)
def test_only_digits_of_64_bits_are_an_id(text: str, number: int | None) -> None:
    """Digits up to the largest 64-bit number are a sequential ID; nothing else is."""
    assert parse_id(text) == number
