"""How the public PHP client writes and reads JSON.

PHP knows one kind of array: an empty one is `[]` also where an object is meant, and one whose keys are 0, 1, 2 ... is a
list. Its getters turn scalars into one another and never a container; a declared string that is missing is a TypeError,
a property that is not there a warning, which many frameworks make an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

#: What happens when a field is missing: the call is unusable, a warning, nothing.
Need = Literal["must", "warn", "opt"]
Kind = Literal["string", "int", "float", "bool", "object", "list", "any"]

#: A field of an object as a getter reads it.
Field = tuple[Need, Kind]

NUMERIC = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")


class PhpTypeError(Exception):
    """A value was missing or of a kind that PHP does not turn into the declared one."""


class PhpWarning(Exception):
    """An undefined property was read."""


def encode(value: Any) -> bytes:
    """Write JSON as `json_encode` does: slashes escaped, all but ASCII as escapes, empty arrays as lists."""
    return json.dumps(_arrange(value), separators=(",", ":")).replace("/", "\\/").encode("ascii")


def _arrange(value: Any) -> Any:
    """Turn what Python calls a dict into what PHP makes of such an array; a whole amount is an integer."""
    if isinstance(value, dict):
        if list(value) == [str(number) for number in range(len(value))]:
            return [_arrange(item) for item in value.values()]
        return {name: _arrange(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_arrange(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def decode(content: bytes) -> Any:
    """Read JSON as `json_decode` does; a body that is none is null."""
    try:
        return json.loads(content)
    except ValueError:
        return None


def need_object(value: Any) -> Mapping[str, Any]:
    """Return an object. Raises PhpTypeError for anything else, a list that is empty too."""
    if not isinstance(value, dict):
        raise PhpTypeError(f"an object was expected, not {type(value).__name__}")
    return value


def need_list(value: Any) -> list[Any]:
    """Return a list. Raises PhpTypeError for anything else."""
    if not isinstance(value, list):
        raise PhpTypeError(f"a list was expected, not {type(value).__name__}")
    return value


def need_no_container(value: Any) -> None:
    """Accept a body that a getter of type string takes or none. Raises PhpTypeError."""
    if isinstance(value, dict | list):
        raise PhpTypeError("no body was expected")


def read(answer: Any, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Read an object by its getters. Raises PhpTypeError, and PhpWarning for a property that is not there."""
    content = need_object(answer)
    return {name: _read_field(content, name, *field) for name, field in fields.items()}


def _read_field(content: Mapping[str, Any], name: str, need: Need, kind: Kind) -> Any:
    if name not in content:
        if need == "must":
            raise PhpTypeError(f"{name} is missing")
        if need == "warn":
            raise PhpWarning(f"Undefined property: {name}")
        return None
    value = content[name]
    if value is None:
        if need == "must":
            raise PhpTypeError(f"{name} is null")
        return None
    return _cast(name, value, kind)


def _cast(name: str, value: Any, kind: Kind) -> Any:
    """Turn a value into the declared type as PHP does in weak mode."""
    if kind == "any":
        return value
    if kind == "object":
        return need_object(value)
    if kind == "list":
        return need_list(value)
    if isinstance(value, dict | list):
        raise PhpTypeError(f"{name} is a container and not a {kind}")
    if kind == "string":
        return str(value) if isinstance(value, str) else json.dumps(value)
    if kind == "bool":
        return value not in {0, "", "0"}
    if isinstance(value, str) and not NUMERIC.fullmatch(value):
        raise PhpTypeError(f"{name} is {value!r} and not a number")
    return (
        int(float(value)) if kind == "int" and not _is_long(value) else float(value) if kind == "float" else int(value)
    )


def _is_long(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.strip().isdigit())


def value_object(text: Any, least: int, most: int) -> str:
    """Send something back through a value object: its length counts bytes, and "0" is empty. Raises PhpTypeError."""
    written = str(text)
    if written in {"", "0"} or not least <= len(written.encode()) <= most:
        raise PhpTypeError(f"{written!r} does not have {least} to {most} bytes")
    return written


def is_loosely_zero(value: Any) -> bool:
    """Compare with 0 as `==` does in PHP 8: a numeric string by its value, any other by its text."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, str):
        return bool(NUMERIC.fullmatch(value)) and float(value) == 0
    return bool(value == 0)


def is_empty(value: Any) -> bool:
    """Tell what `empty()` tells."""
    return value is None or value is False or value in ("", "0", 0) or value in ([], {})
