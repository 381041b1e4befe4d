"""Build the OpenAPI 3.1 document from routes and their models.

It shows the canonical forms, from which clients are generated: what a request may leave out is optional and never null,
and fields that a response leaves out are absent. Tolerated forms are in the descriptions of fields.
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
    400: "Fields are missing or invalid. The response names all of them.",
    401: "The API key is missing or wrong. Send it in the Authorization header.",
    403: "The merchant is disabled, or the key may not be used from this address.",
    404: "The resource was not found.",
    409: "The same request is in progress. Retry later.",
    413: "The body is too large. Send a smaller one.",
    415: "The body is not JSON.",
    422: "The X-Request-ID was used with a different body.",
    429: "Too many requests. Retry later.",
    500: "An internal error. Retry with the same X-Request-ID. The message has a reference to the gateway's log.",
    503: "The gateway cannot accept the request now. Retry later.",
}
RETRYING = frozenset({409, 429, 503})

HEADERS = {
    "X-Request-ID": ("The ID of the request: yours if you sent one, or else a generated one.", "string"),
    "Idempotent-Replay": ("`true` if this is the recorded response to an earlier request.", "string"),
    "Retry-After": ("Seconds to wait before a retry.", "integer"),
    "WWW-Authenticate": ("How to authenticate.", "string"),
    "ETag": ("The version of the content, for `If-None-Match`.", "string"),
    "Cache-Control": ("The time for which the response may be cached.", "string"),
}
REQUEST_ID_PARAMETER = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "The idempotency key. A retry with the same ID and body gets the first response again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]{1,128}$"},
    "example": "order-4711",
}
XML_HTTP_REQUEST_PARAMETER = {
    "name": "x-requested-with",
    "in": "header",
    "description": "Shows that a script sent the request, and not a form of another site.",
    "required": True,
    "schema": {"type": "string", "enum": ["XMLHttpRequest"]},
}


@dataclass(frozen=True, slots=True)
class CallbackOperation:
    """A request to merchants' servers."""

    event: type[BaseModel]
    operation_id: str
    summary: str


@dataclass(frozen=True, slots=True)
class ApiDescription:
    """Texts about an API that belong to no single route."""

    title: str
    version: str
    description: str
    #: Groups of calls by the first step of their paths, with title and description, in reading order.
    groups: Mapping[str, tuple[str, str]]
    path_parameters: Mapping[str, Mapping[str, str]]
    callback_headers: Mapping[str, str]
    callbacks: Mapping[str, CallbackOperation]
    problem: type[BaseModel]
    #: Returns the examples of a model by name.
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
    """Describe callbacks: the requests to a merchant's server, and its responses."""
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
        "description": "Sent to `url.ipnUrl` until the response is 200, 201 or 202, for at most five days.",
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
        responses["304"] = {
            "description": "The content has not changed since the version in `If-None-Match`.",
            "headers": headers,
        }
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
    """Return examples of invalid fields for 400, and of the usual message for other statuses."""
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
