"""Build the OpenAPI 3.1 document from routes and their models.

It shows the canonical forms, from which clients are generated: what a request may leave out is optional and never null,
and fields that a response leaves out are absent. Tolerated forms are in the descriptions of fields. Responses may have
further fields in later versions, so their schemas are open.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue

from tollhouse.http.problems import STATUS_CODES
from tollhouse.http.responses import JSON
from tollhouse.http.routes import Route

#: The meaning of each status of a rejection.
REJECTIONS = {
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
#: Keywords whose values are data, not schemas.
LITERALS = frozenset({"const", "enum", "examples"})
REF = "#/components/schemas/{model}"


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
    answer: dict[str, Any] = {"description": route.summary, "headers": _refer("X-Request-ID", *route.response_headers)}
    if route.takes_request_id and route.needs_key:
        answer["headers"] |= _refer("Idempotent-Replay")
    if route.answer is not None:
        answer["content"] = _content_of(route.answer, api)
    responses: dict[str, Any] = {str(route.status): answer}
    if "ETag" in route.response_headers:
        headers = _refer("X-Request-ID", *route.response_headers)
        responses["304"] = {
            "description": "The content has not changed since the version in `If-None-Match`.",
            "headers": headers,
        }
    for status in route.rejections:
        responses[str(status)] = _build_rejection(status, route.problem or api.problem, api)
    return responses


def _build_rejection(status: int, problem: type[BaseModel], api: ApiDescription) -> dict[str, Any]:
    names = ["X-Request-ID"]
    names += ["WWW-Authenticate"] if status == 401 else []
    names += ["Retry-After"] if status in RETRYING else []
    content: dict[str, Any] = {"schema": {"$ref": REF.format(model=problem.__name__)}}
    if examples := _build_problem_examples(status, problem, api):
        content["examples"] = examples
    return {"description": REJECTIONS[status], "headers": _refer(*names), "content": {JSON: content}}


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


class SchemaDirection(Enum):
    """The direction in which models are sent."""

    REQUEST = "validation"
    RESPONSE = "serialization"

    @property
    def schema_mode(self) -> JsonSchemaMode:
        """The name of the mode in pydantic."""
        return self.value


class _Generator(GenerateJsonSchema):
    """A generator that leaves out null and the titles of fields, which repeat their names."""

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of the value that is not null."""
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Set no title."""
        del schema
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: FBT001 - as pydantic calls it
        """Return whether a field is always present. A response leaves out only fields that are None."""
        if self.mode == "validation":
            return super().field_is_required(field, total)
        return not _may_be_none(field["schema"])


def build_schemas(models: Iterable[type[BaseModel]], mode: SchemaDirection) -> dict[str, Any]:
    """Return the schemas of models and of the models in their fields, by name."""
    generator = _Generator(ref_template=REF)
    inputs = [(model, mode.schema_mode, model.__pydantic_core_schema__) for model in sorted(models, key=_name_of)]
    _, schemas = generator.generate_definitions(inputs)
    text = json.dumps(schemas)
    named = {model.__name__ for model, _, _ in inputs}
    used = {name for name in schemas if name in named or f'"{REF.format(model=name)}"' in text}
    return {name: _complete(schemas[name], mode) for name in schemas if name in used}


def build_query_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of the parameters of a query."""
    schema = model.model_json_schema(ref_template=REF, schema_generator=_Generator)
    return cast("dict[str, Any]", _complete(schema, SchemaDirection.REQUEST))


def _name_of(model: type[BaseModel]) -> str:
    return model.__name__


def _may_be_none(schema: Any) -> bool:
    kind = schema["type"]
    if kind == "default":
        return schema.get("default", 0) is None or _may_be_none(schema["schema"])
    if kind in {"function-before", "function-after", "function-wrap"}:
        return _may_be_none(schema["schema"])
    return bool(kind == "nullable")


def _complete(schema: Any, mode: SchemaDirection) -> Any:
    """Return a schema with its defaults as text, or none for a response, and with open objects for a response."""
    if isinstance(schema, list):
        return [_complete(each, mode) for each in schema]
    if not isinstance(schema, dict):
        return schema
    completed = {
        name: {field: _complete(one, mode) for field, one in value.items()}
        if name == "properties"
        else value
        if name in LITERALS
        else _complete(value, mode)
        for name, value in schema.items()
        if name != "default"
    }
    if mode is SchemaDirection.RESPONSE and completed.get("additionalProperties") is False:
        del completed["additionalProperties"]
    default = schema.get("default")
    if mode is SchemaDirection.REQUEST and default not in (None, "", [], {}):
        said = f"By default `{default if isinstance(default, str) else json.dumps(default)}`."
        completed["description"] = f"{completed.get('description', '')} {said}".strip()
    return completed
