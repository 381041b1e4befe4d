"""The page that lists tables, enums and functions by owner, from the comments of the schema."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import tollhouse
from markdown_pages import markdown_table, page
from schema_files import Created, read_created
from tollhouse.storage.migrate import list_parts

PACKAGES = Path(tollhouse.__file__).parent
SCHEMA = PACKAGES / "storage" / "migrations" / "0001_schema.list"
SIMULATOR = PACKAGES / "simulator" / "migrations" / "0001_schema.sql"


def render_schema() -> str:
    """Render the objects of both schemas."""
    parts = list_parts(SCHEMA)
    files = [part for part in parts if part.parent.name == "schema"]
    found = [created for part in parts if part.parent.name == "functions" for created in read_created(part)]
    functions = [created for created in found if created.kind == "function"]
    return page(
        "Schema",
        "The tables of the schema `gateway` by the package that owns them, and those of the schema `simulator`.",
        "Columns are described in `src/tollhouse/storage/schema/`. [How to change it](../how-to/change-the-schema.md).",
        "",
        *(line for path in files for line in render_owner(path.stem, read_created(path))),
        *render_owner("simulator", read_created(SIMULATOR)),
        "## Functions",
        "",
        *markdown_table(
            ("Function", "Owner", "What it does"), ((f"`{f.name}`", f.owner, f.description) for f in functions)
        ),
    )


def render_owner(owner: str, created: Sequence[Created]) -> Iterable[str]:
    """Yield the section of one owner."""
    yield from (f"## {owner}", "")
    yield from markdown_table(
        ("Table", "Index", "What it is for"),
        (
            (
                "" if one.kind == "index" else f"`{one.name}`",
                f"`{one.name}`" if one.kind == "index" else "",
                one.description,
            )
            for one in created
            if one.kind in {"table", "view", "index"}
        ),
    )
    enums = [one for one in created if one.values]
    if enums:
        yield from ("", *markdown_table(("Enum", "Value", "Meaning and next states"), list_values(enums)))
    yield ""


def list_values(enums: Iterable[Created]) -> Iterable[tuple[str, str, str]]:
    """Yield a row for each value of enums."""
    for enum in enums:
        for number, (value, comment) in enumerate(enum.values):
            yield "" if number else f"`{enum.name}`", f"`{value}`", comment.replace("|", "or").replace("->", "→")
