"""JSON Schemas of models, in forms that client generators understand.

A field that a request may leave out is optional, without null and without a default: the server chooses the default,
and the description of the field names it. A field of a response is required unless it is left out when it is None.
Responses may have further fields in later versions, so their schemas are open.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue

#: Keywords whose values are data, not schemas.
LITERALS = frozenset({"const", "enum", "examples"})
REF = "#/components/schemas/{model}"


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
    return {name: _complete(schema, mode) for name, schema in schemas.items()}


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
