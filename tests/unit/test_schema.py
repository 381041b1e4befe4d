"""The files of the schema: each is part of it once, everything in them is described, and functions have a version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tollhouse
from schema_files import read_created
from tollhouse.storage.migrate import list_parts, read_migrations

STORAGE = Path(tollhouse.__file__).parent / "storage"
SIMULATOR = Path(tollhouse.__file__).parent / "simulator"
PARTS = [part.resolve() for path in sorted(STORAGE.glob("migrations/*.list")) for part in list_parts(path)]
FILES = [*PARTS, *STORAGE.glob("migrations/*.sql"), *SIMULATOR.glob("migrations/*.sql")]
FUNCTIONS = [path for path in FILES if path.parent.name == "functions"]
CREATE = re.compile(r"create (or replace )?(unique )?(table|index|view|sequence|function|trigger|type) (\w+)")


def name(path: Path) -> str:
    """Return the name of a file without its ending."""
    return path.stem


def test_each_file_is_part_of_the_schema_once() -> None:
    """A file in schema/ or functions/ is named by one migration, exactly once."""
    files = {path.resolve() for folder in ("schema", "functions") for path in (STORAGE / folder).glob("*.sql")}
    assert sorted(PARTS) == sorted(files)


def test_the_migrations_of_both_schemas_can_be_read() -> None:
    """What is shipped is well named, and begins with the schema in one piece."""
    for package in (STORAGE, SIMULATOR):
        assert read_migrations(package / "migrations")[0].name == "0001_schema"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_everything_is_described(path: Path) -> None:
    """The line before each object is a comment that says what it is for; an enum has comments on its values instead."""
    lines = path.read_text(encoding="utf-8").splitlines()
    bare = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if CREATE.match(line) and not line.endswith("as enum (") and not before.startswith("-- ")
    ]
    assert not bare


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_says_what_it_is(path: Path) -> None:
    """The first line of each file is a comment."""
    assert path.read_text(encoding="utf-8").startswith("-- ")


@pytest.mark.parametrize("path", FUNCTIONS, ids=name)
def test_a_function_has_its_version_in_its_name(path: Path) -> None:
    """A file in functions/ makes the one function that it is named after, so that a new version is a new file."""
    created = [found for line in path.read_text(encoding="utf-8").splitlines() if (found := CREATE.match(line))]
    assert [found[4] for found in created if found[3] == "function"] == [path.stem]
    assert re.search(r"_v\d+$", path.stem)


@pytest.mark.parametrize("path", FUNCTIONS, ids=name)
def test_a_function_names_its_owner(path: Path) -> None:
    """The comment of a function begins with the package whose tables it works on."""
    owners = {"composition", *(part.stem for part in PARTS if part.parent.name == "schema")}
    assert {created.owner for created in read_created(path) if created.kind == "function"} <= owners


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_is_replaced(path: Path) -> None:
    """No function is replaced in place: programs of two releases run on one database."""
    assert "or replace" not in path.read_text(encoding="utf-8").lower()
