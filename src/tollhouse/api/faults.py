"""Describe the faults that a model found in a request, in the words of this API and without any of its content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

#: What `paymentSource.type` may be.
SOURCE_KINDS = ("card", "token", "consumer", "paymentAccountId", "paymentAccountIdWithCvv", "cc_token")

#: The steps that a union adds to the paths of its fields, by the field that holds it: they are no part of the request.
VARIANTS = {"paymentSource": frozenset(SOURCE_KINDS), "sku": frozenset({"one", "bundle"})}
#: Further names of fields, by the source that has them: a fault is told under the first.
OTHER_NAMES = {("token", "value"): "token", ("consumer", "value"): "id"}
MAX_PATH_LENGTH = 128

#: What pydantic found, in the words of this API. `{}` is filled from the error's context.
TEXTS = {
    "missing": "is required",
    "extra_forbidden": "is no field of this request",
    "union_tag_not_found": "is required",
    "union_tag_invalid": f"must be one of {', '.join(SOURCE_KINDS)}",
    "string_type": "must be a text",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "is not well formed",
    "list_type": "must be a list",
    "too_long": "must have at most {max_length} entries",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
    "finite_number": "must be a number",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "decimal_max_places": "must have at most {decimal_places} decimals",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "literal_error": "must be {expected}",
}


def describe_faults(error: ValidationError) -> dict[str, list[str]]:
    """Name every field that a model refused, by its path in the request, without any of its content."""
    faults: dict[str, list[str]] = {}
    for fault in error.errors(include_url=False, include_input=False):
        path = _write_path(fault["loc"], is_missing_tag=fault["type"].startswith("union_tag"))
        faults.setdefault(path, []).append(_describe(fault["type"], fault.get("ctx", {})))
    return faults


def _write_path(location: Iterable[int | str], *, is_missing_tag: bool) -> str:
    parts = [str(part) for part in location]
    if len(parts) > 1 and parts[1] in VARIANTS.get(parts[0], ()):
        variant = parts.pop(1)
        parts[1:2] = [OTHER_NAMES.get((variant, name), name) for name in parts[1:2]]
    return ".".join([*parts, "type"] if is_missing_tag else parts)[:MAX_PATH_LENGTH]


def _describe(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "value_error":
        return str(context.get("error", "is not valid"))
    return TEXTS.get(kind, "is not valid").format(**context)
