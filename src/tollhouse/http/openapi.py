"""Build the OpenAPI 3.1 document of routes and their models.

It shows the canonical forms, from which clients are generated: what a request may leave out is optional and never null,
and what a response leaves out is absent. What is tolerated besides stands in the words of a field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from tollhouse.http.json_schemas import REF, SchemaDirection, build_query_schema, build_schemas
from tollhouse.http.problems import STATUS_CODES
from tollhouse.http.responses import JSON
from tollhouse.http.routes import Route

#: The meaning of each status of a rejection.
REFUSALS = {
    400: "A field is missing or faulty; all of them are named.",
    401: "The API key is missing or wrong.",
    403: "The merchant is disabled, or the caller's address is not on the key's list.",
    404: "There is no such thing.",
    409: "The same request is still running; repeat it later.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "The X-Request-ID was used before with another body.",
    429: "There were too many requests; repeat it later.",
    500: "A defect of the gateway. The message names a reference for its log; repeat with the same X-Request-ID.",
    503: "The gateway cannot take the request now; repeat it later.",
}
RETRYING = frozenset({409, 429, 503})

HEADERS = {
    "X-Request-ID": ("The id of the request: yours if you sent one, or else one of ours.", "string"),
    "Idempotent-Replay": ("`true` if this is the recorded response to an earlier request.", "string"),
    "Retry-After": ("Seconds after which to try again.", "integer"),
    "WWW-Authenticate": ("How to authenticate.", "string"),
    "ETag": ("Names this state of the content, for `If-None-Match`.", "string"),
    "Cache-Control": ("For how long the response may be kept.", "string"),
}
REQUEST_ID_PARAMETER = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "Makes a repetition safe: the same id and body get the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]{1,128}$"},
    "example": "order-4711",
}
XML_HTTP_REQUEST_PARAMETER = {
    "name": "x-requested-with",
    "in": "header",
    "description": "Shows that a script of a page sent the request, which no form of another page can do.",
    "required": True,
    "schema": {"type": "string", "enum": ["XMLHttpRequest"]},
}


@dataclass(frozen=True, slots=True)
class CallbackOperation:
    """A request that merchants' servers get."""

    event: type[BaseModel]
    operation_id: str
    summary: str


@dataclass(frozen=True, slots=True)
class ApiDescription:
    """An API in words, as far as they do not stand with its routes."""

    title: str
    version: str
    description: str
    #: Groups of calls by the first step of their paths, with what they are about, in the order in which they are read.
    groups: Mapping[str, tuple[str, str]]
    path_parameters: Mapping[str, Mapping[str, str]]
    callback_headers: Mapping[str, str]
    callbacks: Mapping[str, CallbackOperation]
    problem: type[BaseModel]
    #: Returns the examples of a model by its name.
    examples_of: Callable[[str], Mapping[str, Any]]


def build_document(routes: Iterable[Route], api: ApiDescription, *, base_url: str) -> dict[str, Any]:
    """Build the document of all routes that belong to the API."""
    documented = [route for route in routes if route.is_documented]
    paths: dict[str, dict[str, Any]] = {}
    for route in documented:
        paths.setdefault(route.path, {})[route.method.lower()] = _build_operation(route, api)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": api.title,
            "version": api.version,
            "description": api.description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_url}],
        "tags": [{"name": name, "description": text} for name, text in _list_groups(paths, api)],
        "paths": paths,
        "webhooks": {name: {"post": _build_callback(callback, api)} for name, callback in api.callbacks.items()},
        "components": {
            "schemas": _build_schemas(documented, api),
            "headers": {
                name: {"description": text, "schema": {"type": kind}} for name, (text, kind) in HEADERS.items()
            },
            "securitySchemes": {"ApiKeyAuth": {"type": "apiKey", "in": "header", "name": "Authorization"}},
        },
    }


def _find_group(path: str, api: ApiDescription) -> tuple[str, str]:
    step = path.split("/")[1]
    return api.groups.get(step, (step.capitalize(), ""))


def _list_groups(paths: Iterable[str], api: ApiDescription) -> list[tuple[str, str]]:
    known = [_find_group(path, api) for path in paths]
    listed = dict.fromkeys(api.groups.values())
    return [*(group for group in listed if group in known), *sorted(set(known) - set(listed))]


def _build_operation(route: Route, api: ApiDescription) -> dict[str, Any]:
    content: dict[str, Any] = {
        "operationId": route.operation_id,
        "summary": route.summary,
        "tags": [_find_group(route.path, api)[0]],
        "description": route.description,
        "parameters": _build_parameters(route, api),
        "responses": _build_responses(route, api),
        "security": [{"ApiKeyAuth": []}] if route.needs_key else [],
    }
    if route.request is not None:
        content["requestBody"] = {"required": True, "content": _content_of(route.request, api)}
    return content


def _content_of(model: type[BaseModel], api: ApiDescription) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": REF.format(model=model.__name__)}}
    if examples := api.examples_of(model.__name__):
        content["examples"] = {title: {"value": value} for title, value in examples.items()}
    return {getattr(model, "media_type", JSON): content}


def _build_callback(callback: CallbackOperation, api: ApiDescription) -> dict[str, Any]:
    """Describe the IPN: what a merchant's server is sent, and what it answers."""
    headers = [
        {
            "name": name,
            "in": "header",
            "description": text,
            "required": name != "X-Request-ID",
            "schema": {"type": "string"},
        }
        for name, text in api.callback_headers.items()
    ]
    return {
        "operationId": callback.operation_id,
        "summary": callback.summary,
        "description": "Sent to `url.ipnUrl` until it is answered with 200, 201 or 202, for five days.",
        "parameters": headers,
        "requestBody": {"required": True, "content": _content_of(callback.event, api)},
        "responses": {status: {"description": "Acknowledged."} for status in ("200", "201", "202")},
        "security": [],
    }


def _build_parameters(route: Route, api: ApiDescription) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            **api.path_parameters.get(name, {}),
        }
        for name in names
    ]
    if route.query is not None:
        parameters += _build_query(route.query)
    if route.takes_request_id:
        parameters.append(REQUEST_ID_PARAMETER)
    if route.is_for_browsers:
        parameters.append(XML_HTTP_REQUEST_PARAMETER)
    return parameters


def _build_query(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = build_query_schema(model)
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", []),
            "description": given.pop("description", ""),
            "schema": given,
        }
        for name, given in schema["properties"].items()
    ]


def _build_responses(route: Route, api: ApiDescription) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": route.summary, "headers": _refer("X-Request-ID", *route.answer_headers)}
    if route.takes_request_id and route.needs_key:
        answer["headers"] |= _refer("Idempotent-Replay")
    if route.answer is not None:
        answer["content"] = _content_of(route.answer, api)
    responses: dict[str, Any] = {str(route.status): answer}
    if "ETag" in route.answer_headers:
        headers = _refer("X-Request-ID", *route.answer_headers)
        responses["304"] = {"description": "The content is the one that `If-None-Match` names.", "headers": headers}
    for status in route.refusals:
        responses[str(status)] = _build_refusal(status, route.problem or api.problem, api)
    return responses


def _build_refusal(status: int, problem: type[BaseModel], api: ApiDescription) -> dict[str, Any]:
    names = ["X-Request-ID"]
    names += ["WWW-Authenticate"] if status == 401 else []
    names += ["Retry-After"] if status in RETRYING else []
    content: dict[str, Any] = {"schema": {"$ref": REF.format(model=problem.__name__)}}
    if examples := _build_problem_examples(status, problem, api):
        content["examples"] = examples
    return {"description": REFUSALS[status], "headers": _refer(*names), "content": {JSON: content}}


def _build_problem_examples(status: int, problem: type[BaseModel], api: ApiDescription) -> dict[str, Any]:
    """Return the examples of faulty fields for 400, and for other statuses one with the usual message."""
    if status == 400:
        return {title: {"value": value} for title, value in api.examples_of(problem.__name__).items()}
    kind = next((kind for kind, its_status in STATUS_CODES.items() if its_status == status), None)
    if kind is None or problem is not api.problem:
        return {}
    message = (kind.__doc__ or "").splitlines()[0]
    return {"Rejected": {"value": {"message": message, "errors": {}}}}


def _refer(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _build_schemas(routes: Sequence[Route], api: ApiDescription) -> dict[str, Any]:
    requests = {route.request for route in routes if route.request}
    answers = {route.answer for route in routes if route.answer} | {api.problem}
    answers |= {callback.event for callback in api.callbacks.values()}
    answers |= {route.problem for route in routes if route.problem}
    schemas = build_schemas(requests, SchemaDirection.REQUEST) | build_schemas(answers, SchemaDirection.RESPONSE)
    return dict(sorted(schemas.items()))
