"""The size of the program: modules, lines, and how long its functions are."""

from __future__ import annotations

import ast
import statistics
from pathlib import Path
from typing import Any

from bench.gateway import ROOT

SOURCE = ROOT / "src" / "tollhouse"


def measure_source(source: Path = SOURCE) -> dict[str, Any]:
    """Count modules and lines of Python and SQL, and take the median, the ninth decile and the longest function."""
    modules = sorted(source.glob("**/*.py"))
    lengths = sorted(length for path in modules for length in _function_lengths(path))
    return {
        "modules": len(modules),
        "lines": sum(len(path.read_text().splitlines()) for path in modules),
        "sql_lines": sum(len(path.read_text().splitlines()) for path in source.glob("**/*.sql")),
        "functions": len(lengths),
        "function_median": statistics.median(lengths),
        "function_p90": lengths[len(lengths) * 9 // 10],
        "function_longest": lengths[-1],
    }


def _function_lengths(path: Path) -> list[int]:
    return [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def print_source(numbers: dict[str, Any]) -> None:
    """Print the size of the program."""
    print(
        f"  {numbers['modules']} modules, {numbers['lines']:,} lines of Python and {numbers['sql_lines']:,} of SQL; "
        f"functions: median {numbers['function_median']:g}, p90 {numbers['function_p90']}, "
        f"longest {numbers['function_longest']} lines"
    )
