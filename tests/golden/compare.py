"""Say in few lines how a replay differs from its record."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any

MAX_LINES = 40


def list_differences(recorded: list[Any], replayed: list[Any]) -> str:
    """Return the first differences, each entry introduced by its number and request; empty if there are none."""
    lines = list(_lines(recorded, replayed))
    more = [f"… and {len(lines) - MAX_LINES} lines more"] if len(lines) > MAX_LINES else []
    return "\n".join([*lines[:MAX_LINES], *more])


def _lines(recorded: list[Any], replayed: list[Any]) -> Iterator[str]:
    for number in range(max(len(recorded), len(replayed))):
        old = recorded[number] if number < len(recorded) else None
        new = replayed[number] if number < len(replayed) else None
        if old != new:
            yield f"entry {number}: {_title(new if new is not None else old)}"
            yield from _diff(_write(old), _write(new))


def _diff(old: list[str], new: list[str]) -> Iterator[str]:
    for line in difflib.unified_diff(old, new, "recorded", "replayed", lineterm="", n=1):
        if not line.startswith(("---", "+++", "@@")):
            yield f"  {line[:300]}"


def _title(entry: Any) -> str:
    request = entry.get("request")
    if request:
        return f"{request['method']} {request['path']}"
    return str(next(iter(entry)))


def _write(entry: Any) -> list[str]:
    return [] if entry is None else json.dumps(entry, ensure_ascii=False, indent=1).splitlines()
