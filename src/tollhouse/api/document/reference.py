"""The OpenAPI document for readers: operations by group, calls as commands, and responses. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tollhouse.api.document.description import examples_of
from tollhouse.api.document.reference_fields import (
    ObjectView,
    Row,
    Schemas,
    Table,
    build_objects,
    build_tables,
    parameter_row,
    ref_of,
    slug,
)
from tollhouse.ipn.message.signature import sign_status, sign_webhook
from tollhouse.wire.render import render_json, set_out

METHODS = ("post", "get", "put", "delete")
JSON = "application/json"
PROBLEM = "ProblemAnswer"

#: The secret that signs the example of a callback, so that readers can check it.
EXAMPLE_SECRET = "YOUR_IPN_SECRET"  # noqa: S105 - an example


@dataclass(frozen=True, slots=True)
class Sample:
    """An example to copy: the text before the JSON, the JSON, and the text after it."""

    title: str
    content: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class OperationView:
    """One operation."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    needs_key: bool
    parameters: tuple[Row, ...]
    request: tuple[Table, ...]
    status: str
    answer: str
    rejections: tuple[tuple[str, str], ...]
    calls: tuple[Sample, ...]
    answers: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group of operations."""

    anchor: str
    name: str
    description: str
    operations: tuple[OperationView, ...]


@dataclass(frozen=True, slots=True)
class CallbackSection:
    """The callbacks to a merchant's server."""

    summary: str
    description: str
    headers: tuple[Row, ...]
    body: str
    sample: Sample


@dataclass(frozen=True, slots=True)
class Reference:
    """The whole page."""

    version: str
    base_url: str
    groups: tuple[GroupView, ...]
    callback: CallbackSection
    objects: tuple[ObjectView, ...]
    rejections: tuple[tuple[str, str], ...]
    problem: Sample


def build_reference(document: Mapping[str, Any]) -> Reference:
    """Build the page."""
    schemas, base_url = document["components"]["schemas"], document["servers"][0]["url"]
    operations = [
        (operation["tags"][0], _build_operation(schemas, operation, method, path, base_url))
        for path, methods in document["paths"].items()
        for method, operation in sorted(methods.items(), key=lambda pair: METHODS.index(pair[0]))
    ]
    groups = tuple(
        GroupView(slug(name), name, tag["description"], tuple(one for group, one in operations if group == name))
        for tag in document["tags"]
        for name in [tag["name"]]
    )
    callback = document["webhooks"]["payment"]["post"]
    event = _json_of(callback["requestBody"])
    answers = [operation.answer for _, operation in operations] + [ref_of(event["schema"]), PROBLEM]
    rejections = {status: text for _, operation in operations for status, text in operation.rejections}
    return Reference(
        version=document["info"]["version"],
        base_url=base_url,
        groups=groups,
        callback=CallbackSection(
            summary=callback["summary"],
            description=callback["description"],
            headers=tuple(parameter_row("callback", parameter) for parameter in callback["parameters"]),
            body=ref_of(event["schema"]),
            sample=_build_callback_sample(event),
        ),
        objects=tuple(build_objects(schemas, answers)),
        rejections=tuple(sorted(rejections.items())),
        problem=Sample("An error", set_out(render_json(next(iter(examples_of(PROBLEM).values()))))),
    )


def _build_operation(
    schemas: Schemas, operation: Mapping[str, Any], method: str, path: str, base_url: str
) -> OperationView:
    anchor = slug(operation["operationId"])
    request = _json_of(operation["requestBody"]) if "requestBody" in operation else {}
    status = next(iter(operation["responses"]))
    answer = _json_of(operation["responses"][status])
    return OperationView(
        anchor=anchor,
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        description=operation["description"],
        needs_key=bool(operation["security"]),
        parameters=tuple(parameter_row(anchor, parameter) for parameter in operation["parameters"]),
        request=tuple(build_tables(schemas, request["schema"], anchor)) if request else (),
        status=status,
        answer=ref_of(answer["schema"]) if answer else "",
        rejections=tuple((code, one["description"]) for code, one in operation["responses"].items() if code[0] in "45"),
        calls=tuple(_build_calls(operation, method, base_url + path, request)),
        answers=_samples(answer if request else _first_only(answer)),
    )


def _json_of(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the content of a body: JSON or, for one call, form fields."""
    content: Mapping[str, Any] = next(iter(holder.get("content", {}).values()), {})
    return content


def _first_only(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keep the simplest example if the others repeat those of another operation."""
    return {**content, "examples": dict(list(content.get("examples", {}).items())[:1])}


def _samples(content: Mapping[str, Any]) -> tuple[Sample, ...]:
    examples = content.get("examples", {})
    return tuple(Sample(title, set_out(render_json(one["value"]))) for title, one in examples.items())


def _build_calls(operation: Mapping[str, Any], method: str, url: str, request: Mapping[str, Any]) -> Iterator[Sample]:
    """Yield commands that make the call, one for each example of a body. Each can be run as shown."""
    for parameter in operation["parameters"]:
        url = url.replace(f"{{{parameter['name']}}}", parameter.get("example", parameter["name"].upper()))
    media_type = next(iter(operation.get("requestBody", {}).get("content", {})), None)
    examples = request.get("examples", {})
    # By default curl sends GET, or POST with a body.
    is_named = method != ("post" if examples else "get")
    lines = [f"curl {url}"] + ([f"-X {method.upper()}"] if is_named else [])
    lines += ["-H 'Authorization: YOUR_API_KEY'"] if operation["security"] else []
    lines += ["-H 'Content-Type: application/json'"] if examples and media_type == JSON else []
    lines += [
        f"-H '{parameter['name']}: {parameter['schema']['enum'][0]}'"
        for parameter in operation["parameters"]
        if parameter["in"] == "header" and "enum" in parameter["schema"]
    ]
    head = " \\\n  ".join(lines)
    for title, example in examples.items():
        if media_type == JSON:
            content = set_out(render_json(example["value"])).replace("'", "'\\''").replace("\n", "\n  ")
            yield Sample(title, content, before=head + " \\\n  -d '", after="'")
        else:
            fields = [f"--data-urlencode '{name}={value}'" for name, value in example["value"].items()]
            yield Sample(title, "", before=" \\\n  ".join([head, *fields]))
    if not examples:
        yield Sample(operation["summary"], "", before=head)


def _build_callback_sample(event: Mapping[str, Any]) -> Sample:
    """Build an example of a callback, with valid signatures for the example's secret."""
    body = next(iter(event["examples"].values()))["value"]
    payment, webhook_id, timestamp = body["payment"], "evt_4711", int(body["timestamp"]["unixTime"]) + 1
    headers = {
        "Content-Type": "application/json",
        "X-Signature": sign_status(EXAMPLE_SECRET, payment["transactionId"], payment["status"]),
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": sign_webhook(
            [EXAMPLE_SECRET], webhook_id=webhook_id, timestamp=timestamp, body=render_json(body)
        ),
        "webhook-sequence": "42",
    }
    lines = [
        "POST /ipn HTTP/1.1",
        "Host: your-server.example.com",
        *(f"{name}: {text}" for name, text in headers.items()),
    ]
    return Sample("A callback", set_out(render_json(body)), before="\n".join(lines) + "\n\n")
