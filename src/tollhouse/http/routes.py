"""Routes as data: application, OpenAPI document, pages and tests are built from one list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from inspect import cleandoc
from typing import Any, TypeVar

from pydantic import BaseModel

from tollhouse.http.problems import build_error_response
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response

Handler = Callable[[Request], Awaitable[Response]]
#: Returns the response to an error of the handler.
BuildErrorResponse = Callable[[Request, Exception], Response]

Declared = TypeVar("Declared", bound=Callable[..., Awaitable[Response]])
#: The attribute of a method that holds its route.
_ROUTE = "declared_route"


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path with their handler.

    A step of a path in braces is a parameter: `/site/{siteId}`; `{rest:path}` is all that follows. A route with a
    summary belongs to the documented API. Its operation id is the name of its handler, and the docstring of the handler
    describes it.
    """

    method: str
    path: str
    handler: Handler
    summary: str = ""
    #: The purpose; by default Purpose.READS for GET and Purpose.SELLS, the most restricted, for other methods.
    purpose: Purpose | None = None
    request: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    #: None: the response has no body.
    answer: type[BaseModel] | None = None
    status: int = 200
    needs_key: bool = True
    takes_request_id: bool = False
    #: Whether the path names a resource that may not exist.
    may_miss: bool = False
    #: Whether scripts of other origins may call.
    is_for_browsers: bool = False
    #: Further statuses of rejections.
    rejects: tuple[int, ...] = ()
    #: Further headers of the successful response.
    response_headers: tuple[str, ...] = ()
    #: The model of a rejection; None is the common one.
    problem: type[BaseModel] | None = None
    on_error: BuildErrorResponse = build_error_response

    @property
    def is_documented(self) -> bool:
        """Whether the route is part of the API."""
        return bool(self.summary)

    @property
    def operation_id(self) -> str:
        """The name of the operation."""
        return str(getattr(self.handler, "__name__", ""))

    @property
    def description(self) -> str:
        """The operation in words."""
        return cleandoc(self.handler.__doc__ or "")

    @property
    def effective_purpose(self) -> Purpose:
        """The purpose; by default the most restricted one."""
        return self.purpose or (Purpose.READS if self.method == "GET" else Purpose.SELLS)

    @property
    def rejections(self) -> list[int]:
        """The statuses of all rejections."""
        # Callers without a key are limited by address, and so are those with a wrong one.
        statuses = {429, 500, 503, *self.rejects}
        if self.needs_key:
            statuses |= {401, 403}
        if self.request:
            statuses |= {400, 413, 415}
        if self.query:
            statuses |= {400}
        if self.takes_request_id and self.needs_key:
            statuses |= {409, 422}
        if self.may_miss:
            statuses |= {404}
        return sorted(statuses)


def call(
    method_and_path: str,
    summary: str,
    purpose: Purpose | None = None,
    request: type[BaseModel] | None = None,
    answer: type[BaseModel] | None = None,
    *,
    takes_request_id: bool = False,
    **facts: Any,
) -> Callable[[Declared], Declared]:
    """Declare a documented call, such as `POST /site`, above its handler, a method of a class of `Calls`.

    `facts` are further fields of Route. A path with a parameter names something that may not exist, and a POST that
    takes an X-Request-ID responds 201; both unless `facts` say otherwise.
    """
    method, path = method_and_path.split()
    facts = {"may_miss": "{" in path, "status": 201 if takes_request_id and method == "POST" else 200} | facts
    facts |= {"purpose": purpose, "request": request, "answer": answer, "takes_request_id": takes_request_id}

    def declare(handler: Declared) -> Declared:
        setattr(handler, _ROUTE, Route(method, path, handler, summary, **facts))
        return handler

    return declare


class Calls:
    """Handlers of documented calls, each with its route above it."""

    def routes(self) -> list[Route]:
        """Return the routes, in the order of their handlers."""
        declared = ((name, getattr(handler, _ROUTE, None)) for name, handler in vars(type(self)).items())
        return [replace(route, handler=getattr(self, name)) for name, route in declared if route is not None]
