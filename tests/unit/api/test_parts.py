"""The framework's application in parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from litestar import Litestar, Router, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from tollhouse.api.methods import AllMethods
from tollhouse.api.parts import Parts, first_step


def build_handler(path: str | list[str], says: str) -> HTTPRouteHandler:
    """Return a handler for `GET` that says something."""

    @get(path, sync_to_thread=False)
    def answer() -> str:
        return says

    return answer


@post("/two/{name:str}", sync_to_thread=False)
def post_two(name: FromPath[str]) -> str:
    """Say what was posted to."""
    return f"posted to {name}"


HANDLERS = [
    build_handler("/", "root"),
    build_handler("/one", "one"),
    Router("/", route_handlers=[build_handler("/two/{name:str}", "two"), build_handler("/two/a/b", "two a b")]),
    Router("/three", route_handlers=[build_handler("/", "three"), build_handler("/{rest:path}", "below three")]),
    post_two,
]


class Builder:
    """Builds parts, and keeps in mind which."""

    def __init__(self) -> None:
        self.built: list[int] = []

    def __call__(self, handlers: Sequence[Any]) -> Litestar:
        """Build one."""
        self.built.append(len(handlers))
        return Litestar(handlers, openapi_config=None, logging_config=None)


def build_parts(handlers: Sequence[Any], builder: Builder | None = None) -> Parts:
    """Return the parts of handlers."""
    parts = Parts(builder or Builder())
    parts.add(handlers)
    return parts


async def ask(app: Any, method: str, path: str) -> tuple[int, str, str | None]:
    """Return status, text and the methods that are allowed."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway.example") as client:
        answer = await client.request(method, f"http://gateway.example{path}")
    return answer.status_code, answer.text, answer.headers.get("allow")


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "DELETE"])
async def test_parts_are_one_application(method: str) -> None:
    """Whatever is asked, the parts answer as one application with all handlers does, also where nothing is."""
    framework: Any = Builder()(HANDLERS)
    whole, parts, at_once = AllMethods(framework, framework.routes), build_parts(HANDLERS), build_parts(HANDLERS)
    at_once.build()
    for path in (
        *("/", "", "/one", "/one/", "//one", "/one/more", "/two", "/two/x", "/two//x", "/two/a/b", "/two%2Fx"),
        *(
            "/three",
            "/three/",
            "/three/x/y",
            "/nowhere",
            "/nowhere/one",
            "/One",
            "/%7Bname%7D",
            "/two/../one",
            "/one?a=/two",
        ),
    ):
        answer = await ask(whole, method, path)
        assert await ask(parts, method, path) == answer, path
        assert await ask(at_once, method, path) == answer, path


async def test_a_part_is_built_once_when_it_is_asked_for() -> None:
    """Asking builds the part that is asked, once; what leads nowhere is the root's."""
    builder = Builder()
    parts = build_parts(HANDLERS, builder)
    assert builder.built == []
    await ask(parts, "GET", "/two/x")
    await ask(parts, "POST", "/two/y")
    assert builder.built == [2]
    await ask(parts, "GET", "/nowhere")
    await ask(parts, "GET", "/")
    assert builder.built == [2, 1]


async def test_all_parts_at_once() -> None:
    """The rest is built in one piece, also for who asks for all routes; nothing is built twice or left for later."""
    builder = Builder()
    parts = build_parts(HANDLERS, builder)
    await ask(parts, "GET", "/one")
    paths = sorted(route.path for route in parts.routes())
    assert paths == ["/", "/one", "/three", "/three/{rest:path}", "/two/a/b", "/two/{name:str}"]
    assert builder.built == [1, 4]
    parts.build()
    await ask(parts, "GET", "/three")
    await ask(parts, "GET", "/nowhere")
    assert builder.built == [1, 4]


@pytest.mark.parametrize("path", ["/{name:str}", "/{name:str}/more"])
def test_a_first_step_that_changes(path: str) -> None:
    """A handler whose first step is not always the same belongs to no part, and is refused."""
    with pytest.raises(ValueError, match="first step"):
        build_parts([build_handler(path, "")])


def test_a_handler_of_two_parts() -> None:
    """So is one that would belong to two parts, and what is neither handler nor router."""
    with pytest.raises(ValueError, match="first step"):
        build_parts([build_handler(["/one", "/two"], "")])
    with pytest.raises(ValueError, match="first step"):
        build_parts([Router("/", route_handlers=[build_handler("/one", ""), build_handler("/two", "")])])
    stranger: Any = Builder()
    with pytest.raises(ValueError, match="no paths"):
        build_parts([stranger])


def test_first_steps() -> None:
    """A first step ends at the second slash; slashes at the beginning are one, as they are to the framework."""
    paths = ["", "/", "//", "/one", "one", "//one//two", "/one/two", "/one/"]
    assert [first_step(path) for path in paths] == ["", "", "", "one", "one", "one", "one", "one"]
