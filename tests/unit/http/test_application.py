"""What every request gets, whatever route it leads to."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.calling import call

from tollhouse.http.application import WebApplication
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response, build_cookie
from tollhouse.http.routes import Route
from tollhouse.http.serving.metrics import Metrics
from tollhouse.kernel.errors import Invalid, RateLimited


async def say_who(request: Request) -> Response:
    """Return the path's parameter."""
    return Response(f'"{request.path_parameters["name"]}"'.encode(), headers={"X-Own": "1"}, cookies=("a=1", "b=2"))


async def fail(request: Request) -> Response:
    """Raise what the query names."""
    raise {"invalid": Invalid({"a": ["is faulty"]}), "limited": RateLimited(7)}.get(
        request.query_string, RuntimeError("4024007179366348")
    )


async def hang(_: Request) -> Response:
    """Wait for ever."""
    await asyncio.Event().wait()
    return Response()


def answer_page(_: Request, error: Exception) -> Response:
    """Answer an error as a page."""
    return Response(type(error).__name__.encode(), 418, "text/html")


ROUTES = [
    Route("GET", "/say/{name}", say_who),
    Route("POST", "/say/{name}", say_who, is_for_browsers=True),
    Route("GET", "/fail", fail),
    Route("GET", "/page/fail", fail, on_error=answer_page),
    Route("GET", "/hang", hang),
]


def build(**settings: object) -> WebApplication:
    """Build the application."""
    return WebApplication(ROUTES, metrics=Metrics(), **settings)  # type: ignore[arg-type]  # settings of the test


async def test_a_response_is_complete() -> None:
    """A response has the handler's headers and cookies, those about its body, and the request's id."""
    response = await call(build(is_secure=True), "GET", "/say/x", headers={"X-Request-ID": "abc"})
    assert (response.status_code, response.json()) == (200, "x")
    assert response.headers["x-own"] == "1"
    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert response.headers["content-length"] == "3"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-request-id"] == "abc"
    assert "strict-transport-security" in response.headers


async def test_head_has_no_body() -> None:
    """HEAD gets the head of the response to GET."""
    response = await call(build(), "HEAD", "/say/xyz")
    assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "5")


async def test_methods_are_told() -> None:
    """OPTIONS is told the methods of a path, and so is a method that the path does not have."""
    app = build()
    options, other = await call(app, "OPTIONS", "/fail"), await call(app, "POST", "/fail")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert "content-length" not in options.headers
    assert (other.status_code, other.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert other.json() == {"message": "This path does not have that method. See the Allow header.", "errors": {}}
    for method in ("GET", "OPTIONS", "BREW"):
        assert (await call(app, method, "/nowhere")).json() == {
            "message": "Path not found. Check the URL.",
            "errors": {},
        }


async def test_errors_become_problems() -> None:
    """A rejection is answered by the table of statuses, a defect with a reference and nothing else."""
    app = build()
    invalid, limited, defect = [
        await call(app, "GET", f"/fail?{name}", headers={"X-Request-ID": "abc"}) for name in ("invalid", "limited", "")
    ]
    assert (invalid.status_code, invalid.json()["errors"]) == (400, {"a": ["is faulty"]})
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
    assert (defect.status_code, defect.json()["message"]) == (
        500,
        "An internal error occurred. Retry with the same X-Request-ID. Reference: abc",
    )


async def test_a_route_answers_its_errors_its_own_way() -> None:
    """Pages answer the errors of their handlers with pages; a path or method that is not there is nobody's."""
    app = build()
    assert (await call(app, "GET", "/page/fail")).text == "RuntimeError"
    assert (await call(app, "POST", "/page/fail")).status_code == 405


@pytest.mark.parametrize(
    "path", ["/say/x?number=4024007179366348", "/page/fail?4024007179366348", "/nowhere?a=4024007179366348"]
)
async def test_no_card_number_in_a_query(path: str) -> None:
    """A query with a card number is rejected before any handler, and not repeated."""
    response = await call(build(), "GET", path)
    assert response.status_code == 400
    assert "4024007179366348" not in response.text
    assert response.json()["errors"]


async def test_pages_of_other_origins() -> None:
    """Only a path for browsers answers a page's question, and every response of it says to whom."""
    app = build(is_origin_allowed=lambda origin: origin == "https://shop.example")
    for origin, is_allowed in (("https://shop.example", True), ("https://evil.example", False)):
        headers = {"Origin": origin}
        for response in (
            await call(app, "OPTIONS", "/say/x", headers=headers),
            await call(app, "POST", "/say/x", headers=headers),
            await call(app, "PUT", "/say/x", headers=headers),
        ):
            assert (response.headers.get("access-control-allow-origin") == origin) is is_allowed
            assert response.headers["vary"] == "Origin"
        other = await call(app, "GET", "/fail", headers=headers)
        assert "access-control-allow-origin" not in other.headers


async def test_a_cut_off_request_is_answered() -> None:
    """A request that the stopping server cancels is answered 503, so that its client repeats it."""
    calling = asyncio.create_task(call(build(), "GET", "/hang"))
    await asyncio.sleep(0.01)
    calling.cancel()
    response = await calling
    assert response.status_code == 503
    assert response.headers["retry-after"]


async def test_requests_are_counted_by_route() -> None:
    """The metrics name the route and not the path, which the client makes up."""
    app = build()
    for path in ("/say/x", "/say/y", "/nowhere"):
        await call(app, "GET", path)
    assert app.metrics is not None
    text = app.metrics.render().decode()
    assert 'tollhouse_request_seconds_count{method="GET",route="/say/{name}",status="200"} 2.0' in text
    assert 'tollhouse_request_seconds_count{method="GET",route="unknown",status="404"} 1.0' in text


def test_cookies_are_closed_to_scripts() -> None:
    """A cookie is for its path, is not read by scripts, and goes with no form of another site."""
    assert (
        build_cookie("a", "1", path="/portal", is_secure=True, max_age_seconds=9)
        == "a=1; HttpOnly; Max-Age=9; Path=/portal; SameSite=lax; Secure"
    )
    assert build_cookie("a", "", path="/", is_secure=False) == 'a=""; HttpOnly; Path=/; SameSite=lax'
