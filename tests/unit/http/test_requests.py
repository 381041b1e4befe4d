"""Reading requests: headers, query, cookies, ids and bodies."""

from __future__ import annotations

import pytest
from tests.support.calling import build_request

from tollhouse.http.requests import RequestHeaders
from tollhouse.kernel.errors import Invalid, TooLarge


def test_the_first_header_of_a_name_counts() -> None:
    """Names are in lower case; a header that is missing is empty, and one that came twice is its first value."""
    headers = RequestHeaders([(b"accept", b"a"), (b"x-forwarded-for", b"1"), (b"x-forwarded-for", b"2")])
    assert headers.get("accept") == headers["accept"] == "a"
    assert headers.get("cookie") == ""
    assert headers.get("cookie", None) is None
    assert headers.get("x-forwarded-for") == "1"
    assert headers.get_all("x-forwarded-for") == ["1", "2"]
    assert "accept" in headers
    assert "cookie" not in headers
    assert set(headers) == {"accept", "x-forwarded-for"}


@pytest.mark.parametrize(
    ("sent", "is_kept"),
    [("abc", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ("", False), ("4024007179366348", False)],
)
def test_an_unfit_id_is_replaced(sent: str, is_kept: bool) -> None:  # noqa: FBT001
    """An X-Request-ID of 1 to 128 visible characters without a card number is the request's id."""
    request = build_request(headers={"X-Request-ID": sent})
    assert request.sent_request_id == sent
    assert (request.request_id == sent) is is_kept
    assert request.request_id


def test_an_id_can_be_forgotten() -> None:
    """An id that must not be repeated is replaced by one of ours."""
    request = build_request(headers={"X-Request-ID": "abc"})
    request.forget_request_id()
    assert request.request_id != "abc"
    assert request.sent_request_id == "abc"


def test_a_query_has_all_values() -> None:
    """A parameter has all its values, blank ones too, decoded."""
    request = build_request(query="a=1&a=2&b=&c=x+y%2Fz&d=%ff")
    assert request.query == {"a": ["1", "2"], "b": [""], "c": ["x y/z"], "d": ["\ufffd"]}
    assert request.query_value("a") == "1"
    assert request.query_value("e", "none") == "none"


def test_cookies_are_read() -> None:
    """Cookies are read by name, without quotes; what is no pair is left out."""
    request = build_request(headers={"Cookie": 'a=1; b="2=2" ; junk; c=%20'})
    assert request.cookies == {"a": "1", "b": "2=2", "c": " "}
    assert build_request().cookies == {}


async def test_a_body_is_read_in_its_pieces() -> None:
    """A body is read to its end and no further than its bound."""
    assert await build_request(body=b"abc").read_body(limit_bytes=3) == b"abc"
    with pytest.raises(TooLarge):
        await build_request(body=b"abcd").read_body(limit_bytes=3)
    with pytest.raises(TooLarge):
        await build_request(headers={"Content-Length": "4"}).read_body(limit_bytes=3)
    with pytest.raises(Invalid, match="ended early"):
        await build_request(pieces=[b"ab", b"c"]).read_body(limit_bytes=9)
    with pytest.raises(Invalid, match="must be a number"):
        await build_request(headers={"Content-Length": "x"}).read_body(limit_bytes=9)
