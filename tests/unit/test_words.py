"""The rules of the section Words in CONTRIBUTING.md that a pattern can hold."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "tollhouse"

FIRST_WORDS = re.compile(r"(What|Who|Whom|Whose|Whoever|Whatever|Where|How|Which|Why|Tell|Say|Look|Take|Stand)\b")
AVOIDED_WORDS = re.compile(
    r"\b(settle[sd]?|folds?|anew|(some|no|any)body|whoever|whatever|wherever|there is none|charge-backs?|patience"
    r"|fell over|looks? (at|into)|looked at|stands?|falling|visits?|the world|go(es)? on|tells?|(is|are) told|takes? in"
    r"|taken in)\b",
    re.IGNORECASE,
)
LIMIT = re.compile(
    r"_?(MOST|LONGEST|LARGEST|FEWEST|SHORTEST|SMALLEST)(_|$)|(?!_?MAX_|_?MIN_).+_LIMIT$|.*_PAUSES?_SECONDS$"
)
TIME = re.compile(r"_?(MAX|MIN)_.*SECONDS|.*(TIMEOUT|INTERVALS?|LEASE)_SECONDS")


def test_descriptions_begin_with_their_subject() -> None:
    """A docstring or the comment of a constant begins with neither a noun clause nor a verb that says too little."""
    found = [*docstrings(), *(each for each in comments() if each[1].startswith("#:"))]
    assert not [f"{place} {text}" for place, text in found if FIRST_WORDS.match(text.removeprefix("#: "))]


def test_descriptions_avoid_replaced_words() -> None:
    """Docstrings and comments, also those of SQL, have no words that the glossary replaces."""
    found = [*docstrings(), *comments(), *sql_comments()]
    texts = [(place, AVOIDED_WORDS.search(re.sub(r"`[^`]*`", "", text))) for place, text in found]
    assert not [f"{place} {match[0]}" for place, match in texts if match]


def test_limits_and_times_have_one_form() -> None:
    """A limit is `MAX_` or `MIN_`, a thing and its unit; a time in seconds is a time-out, an interval or a lease."""
    names = [
        (f"{path}:{node.lineno}", target.id)
        for path in modules()
        for node in parse(path).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id.isupper()
    ]
    other = [each for each in names if each[1].endswith("_SECONDS") and not TIME.fullmatch(each[1])]
    assert not [*other, *(each for each in names if LIMIT.match(each[1]))]


def test_the_patterns_find_faults() -> None:
    """The patterns match texts of the kinds that they are for."""
    assert FIRST_WORDS.match("What the page shows.")
    assert AVOIDED_WORDS.search("Nobody waits for it.")
    assert LIMIT.match("LONGEST_NAME")
    assert not TIME.fullmatch("IDLE_SECONDS")


def modules() -> list[Path]:
    """Return the modules of the source."""
    return sorted(SOURCE.glob("**/*.py"))


@cache
def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(path.read_text())


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield every docstring with its place."""
    for path in modules():
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path}:{getattr(node, 'lineno', 1)}", ast.get_docstring(node) or ""


def comments() -> Iterator[tuple[str, str]]:
    """Yield every comment of a module with its place."""
    for path in modules():
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            if token.type == tokenize.COMMENT:
                yield f"{path}:{token.start[0]}", token.string


def sql_comments() -> Iterator[tuple[str, str]]:
    """Yield every comment of the queries, the schema and the SQL functions with its place."""
    for path in sorted(SOURCE.glob("**/*.sql")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.search(r"-- (.+)", line)
            if found:
                yield f"{path}:{number}", found[1]
