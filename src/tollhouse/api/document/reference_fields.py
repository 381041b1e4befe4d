"""The fields of requests and responses as rows of tables, from their JSON Schemas. Pure.

Requests list every field by its whole path, as errors do. Responses are listed by object, because several operations
share objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]
Schemas = Mapping[str, Schema]

#: Maximum depth of objects; deeper ones are cut off.
DEEPEST = 6


@dataclass(frozen=True, slots=True)
class Row:
    """A field. `path` is the path before its name; `link` names the object that it contains."""

    anchor: str
    path: str
    name: str
    kind: str
    is_required: bool
    description: str
    facts: tuple[str, ...] = ()
    link: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with the condition under which they apply, which is empty if they always do."""

    when: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class ObjectView:
    """An object of responses, or a list of objects that `entry` names."""

    name: str
    description: str
    rows: tuple[Row, ...]
    entry: str = ""


def build_tables(schemas: Schemas, schema: Schema, anchor: str) -> Iterator[Table]:
    """Yield the fields of a request: those that always apply, then those of each variant."""
    rows: list[Row] = []
    for row, variants in _walk(schemas, schema, anchor, "", DEEPEST):
        rows.append(row)
        if variants:
            yield Table("", tuple(rows))
            rows = []
            yield from variants
    yield Table("", tuple(rows))


def _walk(schemas: Schemas, schema: Schema, anchor: str, path: str, depth: int) -> Iterator[tuple[Row, list[Table]]]:
    """Yield every field below an object by its path, an object before its own fields."""
    resolved = _resolve(schemas, schema)
    required = resolved.get("required", [])
    for name, given in resolved.get("properties", {}).items():
        found = _resolve(schemas, given)
        variants = _variants(schemas, found, f"{anchor}.{name}", f"{path}{name}.", depth)
        yield _row(schemas, found, anchor, path, name, is_required=name in required), variants
        inner = _resolve(schemas, found.get("items", found))
        if depth and "properties" in inner:
            below = f"{path}{name}[]." if "items" in found else f"{path}{name}."
            yield from _walk(schemas, inner, f"{anchor}.{name}", below, depth - 1)


def _variants(schemas: Schemas, schema: Schema, anchor: str, path: str, depth: int) -> list[Table]:
    """Return the fields of a union: those of all variants, then those of each variant alone."""
    mapping = schema.get("discriminator", {}).get("mapping", {})
    if not mapping or not depth:
        return []
    tag = schema["discriminator"]["propertyName"]
    resolved = {value: _resolve(schemas, {"$ref": ref}) for value, ref in mapping.items()}
    first, *others = resolved.values()
    shared = {
        name: found
        for name, found in first["properties"].items()
        if name != tag and all(other["properties"].get(name) == found for other in others)
    }
    choice = {"type": "string", "enum": list(resolved), "description": "The kind; each kind has its own fields."}
    common = {"properties": {tag: choice, **shared}, "required": [tag]}
    tables = [Table("", tuple(row for row, _ in _walk(schemas, common, anchor, path, depth - 1)))]
    for value, variant in resolved.items():
        own = {name: found for name, found in variant["properties"].items() if name != tag and name not in shared}
        rows = [row for row, _ in _walk(schemas, {**variant, "properties": own}, f"{anchor}.{value}", path, depth - 1)]
        tables.append(Table(f"With `{path}{tag}` `{value}`: {_lower_first(variant['description'])}", tuple(rows)))
    return tables


def build_objects(schemas: Schemas, names: Iterable[str]) -> Iterator[ObjectView]:
    """Yield the objects of responses, each before the objects that it contains."""
    waiting = list(dict.fromkeys(name for name in names if name))
    described: set[str] = set()
    while waiting:
        name = waiting.pop(0)
        if name in described:
            continue
        described.add(name)
        schema = schemas[name]
        required = schema.get("required", [])
        rows = tuple(
            _row(schemas, _resolve(schemas, given, keep_link=True), name, "", key, is_required=key in required)
            for key, given in schema.get("properties", {}).items()
        )
        entry = ref_of(schema.get("items", {}))
        yield ObjectView(name, schema.get("description", ""), rows, entry)
        waiting = [link for link in (entry, *(row.link for row in rows)) if link] + waiting


def parameter_row(anchor: str, parameter: Mapping[str, Any]) -> Row:
    """Return the row of a parameter in path, query or header."""
    return Row(
        anchor=f"{anchor}-{slug(parameter['name'])}",
        path="",
        name=parameter["name"],
        kind=parameter["in"],
        is_required=parameter.get("required", False),
        description=parameter.get("description", ""),
        facts=tuple(_facts(parameter["schema"])),
    )


def _row(schemas: Schemas, schema: Schema, anchor: str, path: str, name: str, *, is_required: bool) -> Row:
    return Row(
        anchor=f"{anchor}.{name}",
        path=path,
        name=name,
        kind=_kind(schemas, schema),
        is_required=is_required,
        description=schema.get("description", ""),
        facts=tuple(_facts(schema)),
        link=schema.get("link", ""),
    )


def _resolve(schemas: Schemas, schema: Schema, *, keep_link: bool = False) -> Schema:
    """Resolve a reference and leave out null; keywords beside the reference take precedence.

    A reference kept as a link has only its target.
    """
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    if "oneOf" in schema and "discriminator" not in schema:  # an entry, or a list of them: described by the entry
        choices, schema = schema["oneOf"][:1], {name: value for name, value in schema.items() if name != "oneOf"}
    beside = {name: value for name, value in schema.items() if name not in {"anyOf", "$ref"}}
    if len(choices) == 1:
        return _resolve(schemas, {**choices[0], **beside}, keep_link=keep_link)
    if "$ref" not in schema:
        return schema
    name = ref_of(schema)
    target = schemas[name]
    if keep_link:
        return {"type": "object", "link": name, "description": target.get("description", ""), **beside}
    return {**target, **beside}


def ref_of(schema: Schema) -> str:
    """Return the name of the object that a schema refers to, or an empty text."""
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _kind(schemas: Schemas, schema: Schema) -> str:
    """Describe the type of a field: text, whole number, list of objects, ..."""
    if "oneOf" in schema:
        return "object"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(schemas, c) for c in schema["anyOf"] if c.get("type") != "null"))
    kinds = schema.get("type", "any")
    if isinstance(kinds, list):
        return " or ".join(kinds)
    if kinds == "array":
        items = _resolve(schemas, schema.get("items", {}))
        return f"list of {items['type']}s" if "type" in items else "list"
    return "URL" if schema.get("format") == "uri" else str(kinds)


def _facts(schema: Schema) -> Iterator[str]:
    """Yield the limits of a field as texts."""
    if "const" in schema:
        yield f"always `{schema['const']}`"
    if "enum" in schema:
        yield "one of " + ", ".join(f"`{choice}`" for choice in schema["enum"])
    yield from _sizes(schema)
    if schema.get("pattern"):
        yield f"as `{schema['pattern']}`"
    if schema.get("default") not in (None, "", [], {}):
        yield f"by default `{json.dumps(schema['default']).strip(chr(34))}`"
    for example in schema.get("examples", [])[:1]:
        yield f"example `{example}`"


def _sizes(schema: Schema) -> Iterator[str]:
    for least, most, things in (("minLength", "maxLength", "characters"), ("minItems", "maxItems", "entries")):
        low, high = schema.get(least, 0), schema.get(most)
        if high is not None:
            range_ = str(high) if low == high else f"{low} to {high}" if low else f"up to {high}"
            yield f"{range_} {things}"
    if "minimum" in schema:
        yield f"{schema['minimum']} or more"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def slug(name: str) -> str:
    """Return a name as a part of a URL: `post_payment` is `post-payment`."""
    return name.strip().lower().replace(" ", "-").replace("_", "-")
