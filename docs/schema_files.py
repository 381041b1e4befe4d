"""Read the files of the schema: tables, indexes, views, enums and functions, with their comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CREATE = re.compile(r"create (?:unique )?(table|index|view|sequence|function|trigger|type) (\w+)(?: on (\w+))?")
VALUE = re.compile(r"\s*'([^']+)',?(?:\s+-- (.*))?")
ONE_LINE_ENUM = re.compile(r"as enum \((.*)\);")


@dataclass(frozen=True, slots=True)
class Created:
    """An object of the schema. `values` are those of an enum, each with its comment."""

    kind: str
    name: str
    owner: str
    description: str
    values: tuple[tuple[str, str], ...] = ()


def read_created(path: Path) -> list[Created]:
    """Return the objects that a file creates, in order.

    The owner is the name of the file, or for a function the word before the colon of its comment.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        _build(path, lines, number, found)
        for number, line in enumerate(lines)
        if (found := CREATE.match(line)) is not None
    ]


def _build(path: Path, lines: list[str], number: int, found: re.Match[str]) -> Created:
    description, owner = _read_comment(lines, number), path.stem
    if found[1] == "function" and path.parent.name == "functions":
        owner, _, description = description.partition(": ")
    values = tuple(_read_values(lines, number)) if found[1] == "type" else ()
    return Created(kind=found[1], name=found[2], owner=owner, description=description, values=values)


def _read_comment(lines: list[str], number: int) -> str:
    """Return the first paragraph of the comment that ends before a line."""
    start = number
    while start and lines[start - 1].startswith("--"):
        start -= 1
    texts = [line.removeprefix("--").strip() for line in lines[start:number]]
    return " ".join(texts[: texts.index("")] if "" in texts else texts)


def _read_values(lines: list[str], number: int) -> Iterator[tuple[str, str]]:
    """Yield the values of an enum with their comments. Other types have none."""
    one_line = ONE_LINE_ENUM.search(lines[number])
    if one_line is not None:
        yield from ((value, "") for value in re.findall(r"'([^']+)'", one_line[1]))
        return
    if not lines[number].endswith("as enum ("):
        return
    for line in lines[number + 1 : lines.index(");", number)]:
        found = VALUE.fullmatch(line)
        if found is None:
            yield from ((value, "") for value in re.findall(r"'([^']+)'", line))
        else:
            yield found[1], found[2] or ""
