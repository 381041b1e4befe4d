"""The framework's application, in parts where not all of it is wanted: one for each first step of a path.

What the framework does to register a handler takes a millisecond, and one application has ninety. A process that serves
registers them all before it listens, in one piece; whoever asks for a few paths only, as a test does, pays for their
parts alone. To the caller it is one application, for no path leads from one part into another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, cast

from litestar import Router
from litestar.handlers import HTTPRouteHandler

from tollhouse.api.methods import AllMethods

if TYPE_CHECKING:
    from litestar import Litestar
    from litestar.routes import BaseRoute
    from litestar.types import ControllerRouterHandler

    from tollhouse.api.asgi import Application, Receive, Scope, Send

#: The step of `/` itself. Its part also answers for what leads nowhere.
ROOT = ""


class Parts:
    """An application that builds each of its parts when it is first asked for, or all at once."""

    def __init__(self, build: Callable[[Sequence[ControllerRouterHandler]], Litestar]) -> None:
        self._build_framework = build
        self._handlers: dict[str, list[ControllerRouterHandler]] = {ROOT: []}
        self._frameworks: list[Litestar] = []
        self._parts: dict[str, AllMethods] = {}

    def add(self, handlers: Iterable[ControllerRouterHandler]) -> None:
        """Add handlers before anything is built. Raises ValueError for one that belongs to no part, or to two."""
        for handler in handlers:
            self._handlers.setdefault(step_of(handler), []).append(handler)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the part whose path it is handle one request."""
        step = first_step(scope["path"])
        known = step if step in self._handlers else ROOT
        if known not in self._parts:
            self._build(known)
        await self._parts[known](scope, receive, send)

    def routes(self) -> list[BaseRoute]:
        """Return the routes of all parts."""
        self.build()
        return [route for framework in self._frameworks for route in framework.routes]

    def build(self) -> None:
        """Build what nobody has asked for yet, in one piece: that costs less than a piece for each step."""
        if missing := [step for step in self._handlers if step not in self._parts]:
            self._build(*missing)

    def _build(self, *steps: str) -> None:
        framework = self._build_framework([handler for step in steps for handler in self._handlers[step]])
        self._frameworks.append(framework)
        self._parts |= dict.fromkeys(steps, AllMethods(cast("Application", framework), framework.routes))


def first_step(path: str) -> str:
    """Return what stands between the first slash of a path and the next; to the framework several are one."""
    return path.lstrip("/").partition("/")[0]


def step_of(handler: ControllerRouterHandler) -> str:
    """Return the first step of a handler's paths or of a router's. Raises ValueError where they have not one alone."""
    if isinstance(handler, Router):
        paths = {route.path for route in handler.routes}
    elif isinstance(handler, HTTPRouteHandler):
        paths = handler.paths
    else:
        raise ValueError(f"{handler!r} has no paths of its own.")
    steps = {first_step(path) for path in paths}
    if len(steps) != 1 or next(iter(steps)).startswith("{"):
        raise ValueError(f"A part is found by a first step that is always the same, and not by {sorted(paths)}.")
    return steps.pop()
