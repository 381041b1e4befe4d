"""The table that compares two trees: ratios, bounds, and numbers that are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bench.compare import Goal, fact, figure, print_table
from bench.source import measure_source


def results(rate: float, **code: float) -> dict[str, Any]:
    """Build what one run found."""
    return {"figures": [{"section": "s", "setting": "1", "numbers": {"rate": rate}}], "code": code}


@pytest.mark.parametrize(
    ("goal", "old", "new", "is_met"),
    [
        ({"min_ratio": 1.4}, 100, 140, True),
        ({"min_ratio": 1.4}, 100, 139, False),
        ({"max_ratio": 0.4, "max_value": 25}, 65, 25, True),
        ({"max_ratio": 0.4, "max_value": 25}, 65, 26, False),
        ({"max_ratio": 0.4, "max_value": 25}, 50, 25, False),
        ({"min_value": 1}, None, 1, True),
        ({"min_ratio": 1}, None, 1, False),
        ({}, 1, 2, None),
    ],
)
def test_a_goal_bounds_value_and_ratio(
    goal: dict[str, float], old: float | None, new: float, *, is_met: bool | None
) -> None:
    """A goal is met if value and ratio are within all its bounds; without bounds it is neither met nor missed."""
    assert Goal("name", figure("s", "1", "rate"), **goal).is_met(old, new) is is_met


def test_the_table_has_medians_of_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    """Each row has the medians of both trees and their ratio; a row that was not measured is left out."""
    print_table([results(100), results(300), results(200)], [results(100, modules=7)])
    assert figure("s", "1", "rate")(results(5)) == 5
    assert figure("s", "2", "rate")(results(5)) is None
    assert fact("code", "modules")(results(5, modules=7)) == 7
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(("modules", "lines"))]
    assert lines == [["modules", "7.00", "ratio", "<=", "1", "missed"]]


def test_the_size_of_a_program(tmp_path: Path) -> None:
    """Modules, lines and function lengths are counted from the files."""
    (tmp_path / "one.py").write_text("def first():\n    return 1\n\n\nasync def second():\n    a = 1\n    return a\n")
    (tmp_path / "two.sql").write_text("select 1;\n")
    found = measure_source(tmp_path)
    assert (found["modules"], found["lines"], found["sql_lines"], found["functions"]) == (1, 7, 1, 2)
    assert (found["function_median"], found["function_longest"]) == (2.5, 3)
