"""Encode data as PHP's `serialize` does (PHP manual, `serialize`). Pure.

Only scalars, lists and objects are encoded. The result creates no PHP object when it is read.
"""

from __future__ import annotations

import re
from typing import Any

_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
#: PHP converts such keys to integers.
_NUMERIC_KEY = re.compile(r"0|-?[1-9][0-9]{0,18}")


def serialize(value: Any) -> bytes:
    """Encode plain data as from `json.loads`; lists and objects are arrays. Raises TypeError for other types."""
    if isinstance(value, list):
        return _serialize_array(list(enumerate(value)))
    if isinstance(value, dict):
        return _serialize_array([(_as_key(name), child) for name, child in value.items()])
    return _serialize_scalar(value)


def _serialize_scalar(value: Any) -> bytes:
    if value is None:
        return b"N;"
    if isinstance(value, bool):
        return b"b:%d;" % value
    if isinstance(value, str):
        content = value.encode()
        return b's:%d:"%s";' % (len(content), content)
    if isinstance(value, int) and _LONG_MIN <= value <= _LONG_MAX:
        return b"i:%d;" % value
    if isinstance(value, int | float):
        return b"d:%s;" % repr(float(value)).encode()
    raise TypeError(f"PHP has no form for {type(value).__name__} here.")


def _serialize_array(items: list[tuple[int | str, Any]]) -> bytes:
    content = b"".join(serialize(key) + serialize(child) for key, child in items)
    return b"a:%d:{%s}" % (len(items), content)


def _as_key(name: str) -> int | str:
    is_number = _NUMERIC_KEY.fullmatch(name) is not None and _LONG_MIN <= int(name) <= _LONG_MAX
    return int(name) if is_number else name
