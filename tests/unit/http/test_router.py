"""Which route a path and a method lead to."""

from __future__ import annotations

import pytest

from tollhouse.http.requests import Request, normalize_path
from tollhouse.http.responses import Response
from tollhouse.http.router import Router
from tollhouse.http.routes import Route


async def answer(_: Request) -> Response:
    """Answer."""
    return Response()


def build_router(*paths: str) -> Router:
    """Return a router of GET routes."""
    return Router([Route("GET", path, answer) for path in paths])


PATHS = (
    "/",
    "/one",
    "/two/{name}",
    "/two/named",
    "/two/{id}/more",
    "/two/{first}/{second}",
    "/three",
    "/three/{rest:path}",
)


@pytest.mark.parametrize(
    ("path", "found", "parameters"),
    [
        ("/", "/", {}),
        ("", "/", {}),
        ("//", "/", {}),
        ("/one", "/one", {}),
        ("/one/", "/one", {}),
        ("//one//", "/one", {}),
        ("/two/x", "/two/{name}", {"name": "x"}),
        ("/two//x/", "/two/{name}", {"name": "x"}),
        ("/two/ä b", "/two/{name}", {"name": "ä b"}),
        ("/two/named", "/two/named", {}),
        ("/two/x/more", "/two/{id}/more", {"id": "x"}),
        ("/two/x/y", "/two/{first}/{second}", {"first": "x", "second": "y"}),
        ("/three/x/y", "/three/{rest:path}", {"rest": "x/y"}),
        ("/three/", "/three", {}),
    ],
)
def test_a_path_leads_to_its_route(path: str, found: str, parameters: dict[str, str]) -> None:
    """A path leads to the route with the most named steps; slashes that are doubled or at the end do not count."""
    result = build_router(*PATHS).find(normalize_path(path))
    assert result is not None
    assert (result[0].path, dict(result[1])) == (found, parameters)


@pytest.mark.parametrize(
    "path", ["/none", "/One", "/one/more", "/two", "/two/x/y/z", "/two/named/more", "/two/{name}/x/y"]
)
def test_other_paths_lead_nowhere(path: str) -> None:
    """A path that no route has leads nowhere, and a named step is not gone back from."""
    assert build_router(*PATHS).find(normalize_path(path)) is None


def test_methods_are_listed_with_those_that_follow() -> None:
    """A path allows its methods, OPTIONS, and HEAD if it has GET, which HEAD leads to."""
    router = Router([Route("POST", "/a", answer), Route("GET", "/a", answer), Route("PUT", "/b", answer)])
    both, one = router.find("/a"), router.find("/b")
    assert both
    assert one
    assert both[0].allowed == "GET, HEAD, OPTIONS, POST"
    assert one[0].allowed == "OPTIONS, PUT"
    assert both[0].choose("HEAD") is both[0].choose("GET")
    assert one[0].choose("HEAD") is None


def test_a_route_is_declared_once() -> None:
    """Two routes of one method and path are rejected, and so are two names of one parameter."""
    with pytest.raises(ValueError, match="two routes"):
        build_router("/a", "/a")
    with pytest.raises(ValueError, match="same path"):
        build_router("/a/{x}", "/a/{y}")
