"""The routes of an application, found by whole path, or step by step if a path has parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tollhouse.http.routes import Route

_PARAMETER = re.compile(r"\{(\w+)(:path)?\}")
NO_PARAMETERS: Mapping[str, str] = {}


class PathRoutes:
    """A path with its routes by method. HEAD is GET without its body (RFC 9110, 9.3.2)."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.routes: dict[str, Route] = {}
        self.parameters = tuple(name for name, _ in _PARAMETER.findall(path))
        #: Whether scripts of other origins may call.
        self.is_for_browsers = False

    def choose(self, method: str) -> Route | None:
        """Return the route of a method, if there is one."""
        return self.routes.get("GET" if method == "HEAD" else method)

    @property
    def allowed(self) -> str:
        """The methods of the path, as the `Allow` header lists them."""
        extra = {"HEAD"} if "GET" in self.routes else set()
        return ", ".join(sorted({*self.routes, "OPTIONS"} | extra))


class _Node:
    """A step of paths. A named step takes precedence over a parameter, without backtracking."""

    __slots__ = ("children", "is_rest", "parameter", "place")

    def __init__(self, *, is_rest: bool = False) -> None:
        self.children: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.place: PathRoutes | None = None
        self.is_rest = is_rest


class Router:
    """The routes of an application."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._places: dict[str, PathRoutes] = {}
        self._root = _Node()
        for route in self.routes:
            self._add(route)

    def find(self, path: str) -> tuple[PathRoutes, Mapping[str, str]] | None:
        """Return the routes of a normalized path, with the values of its parameters."""
        place = self._places.get(path)
        if place is not None and not place.parameters:
            return place, NO_PARAMETERS
        node, values, steps = self._root, list[str](), _split(path)
        for index, step in enumerate(steps):
            child = node.children.get(step)
            if child is None:
                child = node.parameter
                if child is None:
                    return None
                values.append("/".join(steps[index:]) if child.is_rest else step)
            node = child
            if node.is_rest:
                break
        if node.place is None:
            return None
        return node.place, dict(zip(node.place.parameters, values, strict=True))

    def _add(self, route: Route) -> None:
        place = self._places.get(route.path)
        if place is None:
            place = self._places[route.path] = PathRoutes(route.path)
            node = self._reach(route.path)
            if node.place is not None:
                raise ValueError(f"{route.path} and {node.place.path} are the same path.")
            node.place = place
        if route.method in place.routes:
            raise ValueError(f"{route.method} {route.path} has two routes.")
        place.routes[route.method] = route
        place.is_for_browsers = place.is_for_browsers or route.is_for_browsers

    def _reach(self, path: str) -> _Node:
        """Return the node of a path, which is created if missing."""
        node = self._root
        for step in _split(path):
            parameter = _PARAMETER.fullmatch(step)
            if parameter is None:
                node = node.children.setdefault(step, _Node())
                continue
            if node.parameter is None:
                node.parameter = _Node(is_rest=bool(parameter[2]))
            node = node.parameter
        return node


def _split(path: str) -> list[str]:
    return path.removeprefix("/").split("/") if path != "/" else []
