"""The headers that every response has."""

from __future__ import annotations

import pytest

from tollhouse.http.headers import complete_headers

JSON = (b"content-type", b"application/json")
LENGTH = (b"content-length", b"2")


@pytest.mark.parametrize("status", [100, 103, 204, 304])
def test_a_response_without_a_body_tells_no_length(status: int) -> None:
    """1xx, 204 and 304 have no body (RFC 9110, 6.4.1), and say nothing of how long one is."""
    kept = (b"ETag", b"x")
    assert complete_headers(status, [kept, LENGTH, (b"Transfer-Encoding", b"chunked")], is_secure=False) == [kept]


@pytest.mark.parametrize("status", [200, 201, 205, 400, 500])
def test_other_responses_keep_their_length(status: int) -> None:
    """Whatever may have a body keeps what it says of it."""
    assert LENGTH in complete_headers(status, [LENGTH], is_secure=False)


def test_json_is_neither_guessed_nor_stored() -> None:
    """JSON has nosniff and no-store, where it does not say otherwise itself."""
    assert dict(complete_headers(200, [JSON], is_secure=False)) == {
        b"content-type": b"application/json",
        b"x-content-type-options": b"nosniff",
        b"cache-control": b"no-store",
    }
    own = [JSON, (b"Cache-Control", b"no-cache"), (b"X-Content-Type-Options", b"nosniff")]
    assert complete_headers(200, own, is_secure=False) == own
    assert complete_headers(200, [(b"content-type", b"text/css")], is_secure=False) == [(b"content-type", b"text/css")]


def test_tls_is_declared_where_it_is() -> None:
    """Strict-Transport-Security comes with an https base URL alone."""
    names = [{name for name, _ in complete_headers(404, [], is_secure=is_secure)} for is_secure in (True, False)]
    assert names == [{b"strict-transport-security"}, set()]
