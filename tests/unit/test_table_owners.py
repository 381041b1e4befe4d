"""SQL keeps to the packages: a query names tables of its own package, or of one below that its file declares."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import tollhouse
from schema_files import read_created

SOURCE = Path(tollhouse.__file__).parent
ROOT = Path(__file__).parents[2]
SCHEMA_FILES = sorted(SOURCE.glob("storage/schema/*.sql"))
FUNCTION_FILES = sorted(SOURCE.glob("storage/functions/*.sql"))
# The simulator's tables are in a schema of their own, which nobody else reads.
QUERY_FILES = sorted(path for path in SOURCE.glob("**/queries.sql") if "simulator" not in path.parts)

#: Functions that combine what several packages contribute.
COMPOSITION = "composition"

#: Uses that do not go down, each with its reason. A use that has ended is removed here.
EXCEPTIONS = {
    ("payments", COMPOSITION): "payments begin by the one function that combines the rows of all packages",
    ("payments", "billing"): "a stored payment is shown with its subscription in one round trip",
}

KINDS = {"table", "view", "sequence", "function"}
OWNERS = {
    created.name: created.owner
    for path in (*SCHEMA_FILES, *FUNCTION_FILES)
    for created in read_created(path)
    if created.kind in KINDS
}

COMMENT_OR_TEXT = re.compile(r"--[^\n]*|'[^'\n]*'")
# A name that a table follows; or a call; or the number of a sequence.
NAMED = re.compile(r"\b(?:from|join|into|update|using|only|references|table|function)\s+(\w+)\b(?!\.)", re.IGNORECASE)
CALLED = re.compile(r"\b(\w+_v\d+)\(")
NUMBERED = re.compile(r"nextval\('(\w+)'")
SUBQUERY = re.compile(r"\b(\w+)\s*(?:\([^()]*\)\s*)?as\s+(?:not\s+)?(?:materialized\s*)?\(", re.IGNORECASE)
DECLARED = re.compile(r"^-- Tables of: ([\w, ]+)\.$", re.MULTILINE)


def name(path: Path) -> str:
    """Return the package of a file of queries, or the name of a part of the schema."""
    return path.parent.name if path.name == "queries.sql" else path.stem


def read_levels() -> dict[str, int]:
    """Return the level of each package: the import rules list them from top to bottom."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract.get("id") == "layers")
    return {package: level for level, line in enumerate(layers) for package in re.findall(r"\w+", line)}


LEVELS = read_levels()


def find_used(sql: str) -> set[str]:
    """Return the tables, views, sequences and functions that statements name. A subquery hides a table of its name."""
    found: set[str] = set()
    for statement in re.split(r"^-- name: ", sql, flags=re.MULTILINE):
        bare = COMMENT_OR_TEXT.sub("''", statement)
        hidden = set(SUBQUERY.findall(bare))
        found |= (set(NAMED.findall(bare)) - hidden) | set(CALLED.findall(bare)) | set(NUMBERED.findall(statement))
    return found & OWNERS.keys()


def find_owners(sql: str, package: str) -> set[str]:
    """Return the other packages whose tables statements name."""
    return {OWNERS[used] for used in find_used(sql)} - {package}


def list_files() -> Iterator[tuple[str, Path]]:
    """Yield each file of SQL with its package."""
    yield from ((path.relative_to(SOURCE).parts[0], path) for path in QUERY_FILES)
    yield from ((path.stem, path) for path in SCHEMA_FILES)
    yield from ((OWNERS[path.stem], path) for path in FUNCTION_FILES)


@pytest.mark.parametrize(("package", "path"), list(list_files()))
def test_sql_names_tables_of_packages_below(package: str, path: Path) -> None:
    """A statement names tables of its own package or of one below. The exceptions have a reason."""
    others = find_owners(path.read_text(encoding="utf-8"), package)
    assert {(package, other) for other in others if LEVELS[other] <= LEVELS[package]} <= EXCEPTIONS.keys()


@pytest.mark.parametrize("path", QUERY_FILES, ids=name)
def test_queries_declare_the_packages_whose_tables_they_name(path: Path) -> None:
    """The line `-- Tables of: ...` in a file of queries lists exactly the other packages whose tables it names."""
    sql = path.read_text(encoding="utf-8")
    declared = DECLARED.search(sql)
    assert (declared[1].split(", ") if declared else []) == sorted(find_owners(sql, path.relative_to(SOURCE).parts[0]))


def test_exceptions_are_needed() -> None:
    """Each exception is a use that there is, so that the list gets shorter."""
    uses = {
        (package, other) for package, path in list_files() for other in find_owners(path.read_text("utf-8"), package)
    }
    assert set(EXCEPTIONS) <= uses


def test_every_owner_is_a_package() -> None:
    """Each file of the schema is named after the package that owns its tables."""
    assert {path.stem for path in SCHEMA_FILES} <= LEVELS.keys()


def test_uses_are_found() -> None:
    """Tables after keywords, calls and sequences are found; texts, comments, columns and subqueries are not."""
    sql = """
    -- from merchant
    with site as (select 'from consumer', payment.token from payment)
    insert into event select nextval('hold_lease'), merchant_time_v1(1, now()) from site
    where x is distinct from token.y
    """
    assert find_used(sql) == {"payment", "event", "hold_lease", "merchant_time_v1"}
