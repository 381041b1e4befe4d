"""JSON and sentences as HTML."""

from __future__ import annotations

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from tollhouse.wire.render import html_of_json, html_of_prose, set_out


def test_json_keeps_its_numbers() -> None:
    """Setting out moves white space only: 10.50 stays 10.50."""
    assert set_out(b'{"amount":10.50,"list":[1]}') == '{\n  "amount": 10.50,\n  "list": [\n    1\n  ]\n}'


def test_other_text_is_unchanged() -> None:
    """A body that is not JSON is shown unchanged."""
    assert set_out(b"{oops \xff") == "{oops \N{REPLACEMENT CHARACTER}"


def test_pieces_are_marked() -> None:
    """Names, texts, numbers and words of JSON are told apart."""
    marked = html_of_json('{"a": "b", "c": -1.5, "d": null}')
    assert re.findall(r'class="(\w+)">([^<]+)<', marked) == [
        ("name", "&quot;a&quot;"),
        ("text", "&quot;b&quot;"),
        ("name", "&quot;c&quot;"),
        ("number", "-1.5"),
        ("name", "&quot;d&quot;"),
        ("word", "null"),
    ]


@given(st.text())
def test_html_says_what_the_text_said(text: str) -> None:
    """Any text is shown and never interpreted."""
    shown = re.sub(r'</?span(?: class="(?:name|text|number|word)")?>', "", html_of_json(text))
    assert "<" not in shown
    assert html.unescape(shown) == text


def test_backquotes_are_code() -> None:
    """Backquoted parts become code, escaped like the rest."""
    assert html_of_prose("see `a<b` & c") == "see <code>a&lt;b</code> &amp; c"
