"""The headers that every response has."""

from __future__ import annotations

import pytest

from tollhouse.http.responses import HTML, JSON, Response

LENGTH = (b"content-length", b"2")


@pytest.mark.parametrize("status", [100, 103, 204, 304])
def test_a_response_without_a_body_tells_no_length(status: int) -> None:
    """1xx, 204 and 304 have no body (RFC 9110, 6.4.1), and say nothing of how long one is."""
    assert Response(b"ab", status, JSON, {"ETag": "x"}).encode_headers() == [(b"etag", b"x")]
    assert Response(b"ab", status).encode_headers() == []


@pytest.mark.parametrize("status", [200, 201, 205, 400, 500])
def test_other_responses_tell_their_length(status: int) -> None:
    """A response that may have a body says how long it is."""
    assert LENGTH in Response(b"ab", status).encode_headers()
    assert LENGTH in Response(b"ab", status, HTML, {"ETag": "x"}).encode_headers()


def test_json_is_neither_guessed_nor_stored() -> None:
    """JSON has nosniff and no-store, unless it says otherwise itself; texts have their charset."""
    assert dict(Response(b"ab").encode_headers()) == {
        b"content-type": b"application/json",
        b"content-length": b"2",
        b"x-content-type-options": b"nosniff",
        b"cache-control": b"no-store",
    }
    assert dict(Response(b"ab", headers={"Cache-Control": "no-cache"}).encode_headers()) == {
        b"content-type": b"application/json",
        b"content-length": b"2",
        b"x-content-type-options": b"nosniff",
        b"cache-control": b"no-cache",
    }
    assert Response(b"ab", 200, "text/css").encode_headers() == [(b"content-type", b"text/css; charset=utf-8"), LENGTH]
