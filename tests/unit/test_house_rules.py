"""The house rules of CONTRIBUTING.md that no checker on the market knows."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import tollhouse
from tollhouse.http.problems import STATUS_CODES
from tollhouse.http.serving.merged_metrics import merge_metrics
from tollhouse.http.serving.metrics import Metrics

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tollhouse"

MODULE_LINES = 400
FUNCTION_LINES = 60

PYTHON_FILES = sorted((*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("bench/**/*.py")))
QUERY_FILES = sorted(SOURCE.glob("**/queries.sql"))
PAGES = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))


def test_modules_are_short() -> None:
    """A module has no more than 400 lines: split it by what it does."""
    long = [name(path) for path in SOURCE.glob("**/*.py") if len(path.read_text().splitlines()) > MODULE_LINES]
    assert not long


def test_functions_fit_a_screen() -> None:
    """A function has no more than 60 lines: keep the branches here and move the leaves out."""
    long = [
        f"{name(path)}:{node.lineno} {node.name}"
        for path in PYTHON_FILES
        for node in functions(path)
        if (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_LINES
    ]
    assert not long


def test_one_class_name_is_one_class() -> None:
    """A class name is used once, so that a reader who meets it knows which class it is."""
    places: dict[str, list[str]] = {}
    for path in SOURCE.glob("**/*.py"):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{name(path)}:{node.lineno}")
    assert {shared: found for shared, found in places.items() if len(found) > 1} == {}


def test_log_names_can_be_counted() -> None:
    """The name of a log line is a constant of the form `subject.past_tense`; values are in its keys."""
    form = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
    levels = {"debug", "info", "warning", "error", "critical", "exception"}
    other = [
        f"{name(path)}:{node.lineno}"
        for path in SOURCE.glob("**/*.py")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in levels
        if re.search(r"\blog\b|get_logger", ast.unparse(node.func.value))
        if not (isinstance(node.args[0], ast.Constant) and form.fullmatch(str(node.args[0].value)))
    ]
    assert not other


def test_card_data_is_revealed_in_few_rooms() -> None:
    """Only the vault, and who writes to an acquirer or a Directory, may ask card data for their clear text."""
    rooms = {path.relative_to(SOURCE).parts[0] for path in SOURCE.glob("**/*.py") if ".reveal()" in path.read_text()}
    assert rooms <= {"acquirers", "threeds", "vault"}


def test_annotations_are_imported_like_all_else() -> None:
    """No module imports names for type checkers alone: there is no import cycle that this would break."""
    apart = [name(path) for path in SOURCE.glob("**/*.py") if "TYPE_CHECKING" in path.read_text()]
    assert apart == ["src/tollhouse/storage/database.py"]  # where a generic of the driver exists for type checkers only


def test_tests_patch_nothing() -> None:
    """Tests replace a party through its protocol, never an attribute behind its back."""
    forbidden = re.compile(r"monkeypatch\.(setattr|setitem|delattr)|mock\.patch")
    patching = [
        name(path)
        for path in ROOT.glob("tests/**/*.py")
        if path != Path(__file__)
        if forbidden.search(path.read_text())
    ]
    assert not patching


def test_one_module_starts_processes() -> None:
    """Tests start `tollhouse` by `tests/support/processes.py`, and `commands.py` on it: no setting is inherited."""
    starting = re.compile(r'startswith\("TOLLHOUSE_"\)|"-m",\s+"tollhouse"')
    found = {name(path) for path in ROOT.glob("tests/**/*.py") if starting.search(path.read_text())}
    allowed = {"tests/support/processes.py", "tests/support/gateways.py", "tests/acceptance/test_addresses.py"}
    assert found <= allowed | {name(Path(__file__))}


def test_skips_give_their_reason() -> None:
    """A test that is skipped says why."""
    silent = [
        f"{name(path)}:{node.lineno}"
        for path in ROOT.glob("tests/**/*.py")
        if "skip" in path.read_text()
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"pytest.skip", "pytest.mark.skip", "pytest.mark.skipif"}
        if not node.args and not any(keyword.arg == "reason" for keyword in node.keywords)
    ]
    assert not silent


@pytest.mark.parametrize("path", QUERY_FILES, ids=lambda path: path.parent.name)
def test_queries_are_described(path: Path) -> None:
    """Each query is followed by a comment that says what it does."""
    lines = path.read_text().splitlines()
    bare = [
        line
        for line, following in zip(lines, [*lines[1:], ""], strict=True)
        if line.startswith("-- name:")
        if not following.startswith("-- ")
    ]
    assert not bare


@pytest.mark.parametrize("path", QUERY_FILES, ids=lambda path: path.parent.name)
def test_queries_are_used(path: Path) -> None:
    """Each query is called from somewhere."""
    names = re.findall(r"^-- name: (\w+)", path.read_text(), re.MULTILINE)
    assert [query for query in names if query not in words_of_the_code()] == []


def test_the_run_list_is_part_of_the_developers_list() -> None:
    """Installing what the tests need changes nothing of what `make run` installed."""
    run, developers = (set(pins(ROOT / "requirements" / f"{which}.txt")) for which in ("run", "dev"))
    assert run <= developers


def test_links_between_pages_lead_somewhere() -> None:
    """A relative link in the documentation points to a file that is there."""
    dead = [
        f"{name(page)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
        if "://" not in target and not target.startswith("mailto:")
        if not (page.parent / target).exists()
    ]
    assert not dead


def test_metrics_are_described() -> None:
    """The reference names every metric that there is, and no other."""
    merged = merge_metrics([Metrics().render().decode()], running=1, restarts=0)
    there = {line.split()[2] for line in merged.decode().splitlines() if line.startswith("# TYPE")}
    there = {name for name in there if not name.endswith("_created")}  # the library's, beside each counter
    described = set(
        re.findall(r"^\| `(tollhouse_\w+)`", (ROOT / "docs/reference/metrics.md").read_text(), re.MULTILINE)
    )
    assert described == there


def test_statuses_are_described() -> None:
    """The reference names every HTTP status that an error may have."""
    described = set(
        map(int, re.findall(r"^\| (\d{3}) \|", (ROOT / "docs/reference/errors.md").read_text(), re.MULTILINE))
    )
    assert set(STATUS_CODES.values()) | {500} <= described


@pytest.mark.parametrize(
    ("page", "heading", "least"),
    [("architecture", "## One payment, by the names of its functions", 20), ("subscriptions", "## A sign-up", 10)],
)
def test_the_walk_names_what_is_there(page: str, heading: str, least: int) -> None:
    """Each function that a page of explanation leads through exists under the name given there."""
    text = (ROOT / f"docs/explanation/{page}.md").read_text()
    walk = text[text.index(heading) :]
    rooms = "|".join(path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists())
    names = set(re.findall(rf"`((?:{rooms})\.\w+\.[\w.]+)`", walk))
    assert len(names) > least
    assert not sorted(dotted for dotted in names if not is_there(dotted))


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/how-to/add-*.md")), ids=lambda page: page.stem)
def test_contributor_pages_name_existing_files(page: Path) -> None:
    """Each file that a page for contributors names exists, at the root or in the package."""
    named = set(re.findall(r"`([\w/.]+/[\w.]+\.(?:py|sql|list))`", page.read_text()))
    assert named
    assert not sorted(file for file in named if not (ROOT / file).exists() and not (SOURCE / file).exists())


def is_there(dotted: str) -> bool:
    """Tell whether a function or a method exists under `package.module.name`, however deep the package is."""
    found: object = tollhouse
    for name in dotted.split("."):
        if isinstance(found, ModuleType) and hasattr(found, "__path__"):  # a package
            found = importlib.import_module(f"{found.__name__}.{name}")
        else:
            found = getattr(found, name, None)
    return found is not None


@cache
def parse(path: Path) -> ast.Module:
    """Parse a module, once for all tests."""
    return ast.parse(path.read_text())


@cache
def words_of_the_code() -> frozenset[str]:
    """Return all identifiers and words in the modules of the source."""
    return frozenset(word for path in SOURCE.glob("**/*.py") for word in re.findall(r"\w+", path.read_text()))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions and methods of a module."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def pins(path: Path) -> list[str]:
    """Return the pinned names and versions of a list of requirements."""
    return re.findall(r"^([\w.-]+==[^\s;]+)", path.read_text(), re.MULTILINE)


def name(path: Path) -> str:
    """Return a path as seen from the root."""
    return str(path.relative_to(ROOT))
