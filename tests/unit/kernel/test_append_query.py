"""The way back to the shop: its own address, with the result appended."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.kernel.urls import append_query

FIELDS = {"is_approved": 1, "orderId": 7}
ADDED = "is_approved=1&orderId=7"


@pytest.mark.parametrize(
    ("url", "with_result"),
    [
        ("https://shop.example", f"https://shop.example?{ADDED}"),
        ("https://shop.example/", f"https://shop.example/?{ADDED}"),
        ("https://shop.example/a?", f"https://shop.example/a?{ADDED}"),
        ("https://shop.example/a??", f"https://shop.example/a??&{ADDED}"),
        ("https://shop.example/a?b=1&b=2", f"https://shop.example/a?b=1&b=2&{ADDED}"),
        ("https://shop.example/a#/route?x=1", f"https://shop.example/a?{ADDED}#/route?x=1"),
        ("https://shop.example/?is_approved=9", f"https://shop.example/?is_approved=9&{ADDED}"),
        ("https://shop.example/a%20b?c=%26+d&wc-api=x", f"https://shop.example/a%20b?c=%26+d&wc-api=x&{ADDED}"),
        ("https://shop.example/gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n", f"https://shop.example/gr%C3%BCn?{ADDED}"),
        ("https://shop.example/?a=b&", f"https://shop.example/?a=b&{ADDED}"),
        ("HTTPS://Shop.Example:443/%7e/../x", f"HTTPS://Shop.Example:443/%7e/../x?{ADDED}"),
        ("https://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example/", f"https://xn--bcher-kva.example/?{ADDED}"),
        ("myshop://paid", f"myshop://paid?{ADDED}"),
        ("myshop:///?a#b", f"myshop:///?a&{ADDED}#b"),
        ("com.shop:/done", f"com.shop:/done?{ADDED}"),
        ("http://[2001:db8::1]:8080/~a;b=(1)", f"http://[2001:db8::1]:8080/~a;b=(1)?{ADDED}"),
    ],
)
def test_existing_parts_are_kept(url: str, with_result: str) -> None:
    """Query, fragment and escapes of the shop's URL stay; ours come last in the query."""
    assert append_query(url, FIELDS) == with_result


@given(st.text(st.characters(exclude_characters="#"), max_size=40), st.text(max_size=20))
def test_any_address_fits_a_header(query: str, fragment: str) -> None:
    """With any query of a shop, the result is printable ASCII and our fields are read from it."""
    url = append_query(f"https://shop.example/?{query}#{fragment}", FIELDS)
    assert url.isascii()
    assert url.isprintable()
    assert parse_qsl(urlsplit(url).query, keep_blank_values=True)[-2:] == [("is_approved", "1"), ("orderId", "7")]
