"""Reading bodies: every JSON that is one, nothing that is none, and no echo."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.http.decode import MAX_DEPTH, GivenTwice, parse_form, parse_json, parse_object
from tollhouse.kernel.errors import Invalid

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(values, st.booleans())
def test_json_is_read_as_it_is(value: Any, escaped: bool) -> None:  # noqa: FBT001 - hypothesis passes it
    """Any JSON within the bounds is read, escaped or not."""
    assert parse_json(json.dumps(value, ensure_ascii=escaped).encode()) == value


@given(st.decimals(min_value=0, max_value=10**12, places=4))
def test_fractions_are_decimals(number: Decimal) -> None:
    """A fraction keeps its digits and never becomes a float."""
    read = parse_json(f"[{number}]".encode())[0]
    assert (read, str(read)) == (number, str(number))
    assert isinstance(read, Decimal)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Whatever bytes come, they are JSON or an Invalid without a field."""
    try:
        parse_json(body)
    except Invalid as error:
        assert all(len(path) <= 128 for path in error.errors)  # noqa: PT017 - both ends are right


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nope",
        b"[NaN]",
        b"[Infinity]",
        b"[1e99999]",
        b"[1e999999999999999999]",
        b"[" + b"9" * 41 + b"]",
        b"\xff",
    ],
)
def test_what_is_not_read(body: bytes) -> None:
    """What is no JSON, no number, or no text that can be stored is refused."""
    with pytest.raises(Invalid) as refused:
        parse_json(body)
    assert refused.value.errors == {}


def test_depth_is_bounded() -> None:
    """A body is nested so deep and no deeper, in objects, lists, or both."""
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        fits = opening * MAX_DEPTH + "1" + closing * MAX_DEPTH
        assert parse_json(fits.encode())
        for deep in (MAX_DEPTH + 1, 500, 20_000):
            with pytest.raises(Invalid, match="nested"):
                parse_json((opening * deep + "1" + closing * deep).encode())


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (b'{"a":1,"a":1}', {"a"}),
        (b'{"sku":{"price":[{"amount":1,"amount":2}]},"url":{},"url":{}}', {"sku.price.0.amount", "url"}),
        (b'{"4024007179366348":1,"4024007179366348":2}', {"4024007179366348"}),
    ],
)
def test_keys_that_stand_twice(body: bytes, paths: set[str]) -> None:
    """A key that stands twice is refused by its path."""
    with pytest.raises(Invalid) as refused:
        parse_json(body)
    assert set(refused.value.errors) == paths


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (b'{"sku":{"title":"Box \\ud83d"},"metadata":{"a":["b","\\u0000"]}}', {"sku.title", "metadata.a.1"}),
        (b'{"a\\u0000":1,"b":{"c\\udfff":{}}}', {"a", "b.c?"}),
        (b'["\\ud800"]', {"0"}),
    ],
)
def test_texts_that_cannot_be_stored_are_named(body: bytes, paths: set[str]) -> None:
    """NUL and halves of surrogate pairs are refused by the paths of all texts that have one."""
    with pytest.raises(Invalid) as refused:
        parse_json(body)
    assert set(refused.value.errors) == paths


def test_whole_characters_beyond_the_basic_plane_are_read() -> None:
    """A pair of surrogates is a character."""
    assert parse_object(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_is_skipped(mark: bytes) -> None:
    """Some tools write a mark before their text; a second one is none."""
    assert parse_json(mark + b'{"a":1}') == {"a": 1}
    with pytest.raises(Invalid):
        parse_json(b"\xef\xbb\xbf" + mark + b'\xef\xbb\xbf{"a":1}')


@given(st.binary(max_size=60))
def test_any_bytes_are_a_form_or_refused(body: bytes) -> None:
    """Whatever bytes come, they are fields or an Invalid."""
    try:
        assert all(isinstance(value, str) for value in parse_form(body).values())
    except Invalid as error:
        assert len(str(error)) < 100  # noqa: PT017 - both ends are right


def test_objects_may_be_empty() -> None:
    """Nothing and the `[]` of PHP are the empty object; other JSON is refused."""
    assert parse_object(b"") == parse_object(b"[]") == parse_object(b"{}") == {}
    for body in (b"1", b"[1]", b'"a"', b"null"):
        with pytest.raises(Invalid):
            parse_object(body)


@pytest.mark.parametrize("body", [b'{"a":1,"a":2}', b'{"a":1,"a" :2}', b'{"a":"x","b":{"c":[{"d":1,\n"d"\t:1}]}}'])
def test_a_repeated_key_is_seen_however_it_is_spaced(body: bytes) -> None:
    """A key that stands twice in an object is a fault, with blanks before its colon and without."""
    with pytest.raises(GivenTwice):
        parse_json(body)


@given(values.map(json.dumps), st.integers(0, 200), st.sampled_from(['"', ":", "}", "9" * 41, "1.5e3", "\\u0000", ","]))
def test_a_spoilt_body_is_read_as_by_the_slow_decoder(body: str, at: int, inserted: str) -> None:
    """Whatever is put into a body, it is JSON to this decoder only if it is JSON to Python's own."""
    spoilt = body[:at] + inserted + body[at:]
    try:
        read = parse_json(spoilt.encode())
    except Invalid:
        return
    assert read == json.loads(spoilt, parse_float=Decimal)
