"""Compare this tree with an earlier one by turns on one machine: `python -m bench.compare DIRECTORY`.

DIRECTORY is a worktree of another commit with an environment in `.venv`, whose `bench` has the same sections. Each
round runs `python -m bench` in both, and the order changes from round to round. The table has the medians of the
rounds. Machines differ by half from hour to hour, so quote the ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gateway import ROOT

SECTIONS = ("lean", "first_edition", "payment", "serve", "rows", "code", "tokenize", "paced", "ipn", "renewals")

Results = dict[str, Any]
Read = Callable[[Results], float | None]


def figure(section: str, setting: str, number: str) -> Read:
    """Return how to read a number of a figure."""

    def read(results: Results) -> float | None:
        found = {(each["section"], each["setting"]): each["numbers"] for each in results["figures"]}
        value = found.get((section, setting), {}).get(number)
        return None if value is None else float(value)

    return read


def best(section: str) -> Read:
    """Return how to read the best rate of a section."""

    def read(results: Results) -> float | None:
        return max((each["numbers"]["rate"] for each in results["figures"] if each["section"] == section), default=None)

    return read


def fact(kind: str, name: str) -> Read:
    """Return how to read a number about rows or code."""

    def read(results: Results) -> float | None:
        value = results.get(kind, {}).get(name)
        return None if value is None else float(value)

    return read


@dataclass(frozen=True, slots=True)
class Goal:
    """A row of the table: how to read it, and the bounds of the new value and of its ratio to the old one."""

    name: str
    read: Read
    min_ratio: float | None = None
    max_ratio: float | None = None
    min_value: float | None = None
    max_value: float | None = None

    def is_met(self, old: float | None, new: float) -> bool | None:
        """Tell whether the goal is met; None if there is none, or nothing to compare with."""
        ratio = new / old if old else None
        results = [
            *(_is_within(new, self.min_value, self.max_value)),
            *(_is_within(ratio, self.min_ratio, self.max_ratio)),
        ]
        return all(results) if results else None

    @property
    def text(self) -> str:
        """The goal in words."""
        bounds = (
            ("ratio >=", self.min_ratio),
            ("ratio <=", self.max_ratio),
            (">=", self.min_value),
            ("<=", self.max_value),
        )
        return ", ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


def _is_within(value: float | None, least: float | None, most: float | None) -> list[bool]:
    """Compare a value with its bounds, as many as there are; a value that is missing keeps none."""
    lower = [] if least is None else [value is not None and value >= least]
    upper = [] if most is None else [value is not None and value <= most]
    return lower + upper


ONE, TWO, ALL = "payment, 1 serve", "payment, 2 serve", "payment, IPNs not posted"
MANY = "64 connections"
GOALS = (
    Goal("gateway, us a payment", figure(ALL, MANY, "gateway_us"), max_ratio=0.46),
    Goal("gateway, us a payment, 1 serve", figure(ONE, MANY, "gateway_us"), max_ratio=0.46),
    Goal("PostgreSQL, us a payment", figure(ALL, MANY, "database_us"), max_ratio=0.70),
    Goal("PostgreSQL, us a payment, 1 serve", figure(ONE, MANY, "database_us"), max_ratio=0.70),
    Goal("lean limit, payments a second", best("lean limit")),
    Goal("first edition limit, payments a second", best("first edition limit")),
    Goal("payments a second", figure(ALL, MANY, "rate")),
    Goal("payments a second, 1 serve", figure(ONE, MANY, "rate")),
    Goal("payments a second, 2 serve", figure(TWO, MANY, "rate")),
    Goal("1 serve, of the lean limit", figure(ONE, MANY, "of_lean")),
    Goal("2 serve, of the lean limit", figure(TWO, MANY, "of_lean"), min_value=0.35),
    Goal("1 serve, of the first edition limit", figure(ONE, MANY, "of_first_edition")),
    Goal("2 serve, of the first edition limit", figure(TWO, MANY, "of_first_edition"), min_value=1.0),
    Goal("/tokenize a second", figure("tokenize", MANY, "rate"), min_ratio=1.9),
    Goal(
        "p99 ms at 200 a second, posted, simulator",
        figure("paced, simulator, IPNs posted", "200 a second", "p99_ms"),
        max_ratio=0.4,
        max_value=25.0,
    ),
    Goal("callbacks a second to 16 endpoints", figure("ipn, backlog", "16 endpoints", "rate"), min_ratio=1.4),
    Goal("bytes a payment", fact("rows", "bytes_a_payment"), max_value=3_000),
    Goal("bytes a payment with dead rows", fact("rows", "written_a_payment")),
    Goal("updates a payment", fact("rows", "updates_a_payment")),
    Goal("share of HOT updates", fact("rows", "hot_share")),
    Goal("renewals, of payments", figure("renewals", "approving", "of_payments"), min_value=1.0),
    Goal("modules", fact("code", "modules"), max_ratio=1.0),
    Goal("lines", fact("code", "lines"), max_ratio=1.0),
    Goal("function, median lines", fact("code", "function_median"), max_ratio=1.0),
    Goal("function, p90 lines", fact("code", "function_p90"), max_ratio=1.0),
    Goal("function, longest", fact("code", "function_longest"), max_ratio=1.0),
)


def main() -> int:
    """Run both trees by turns and print the table."""
    arguments = _parse()
    trees = {"old": arguments.directory.resolve(), "new": ROOT}
    results: dict[str, list[Results]] = defaultdict(list)
    for number in range(arguments.rounds):
        for name in ("old", "new") if number % 2 == 0 else ("new", "old"):
            print(f"--- round {number + 1}, {name}: {trees[name]}", flush=True)
            results[name].append(_run(trees[name], seconds=arguments.seconds, only=arguments.only))
    print_table(results["old"], results["new"])
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("directory", type=Path, help="a worktree of the earlier commit")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=2, help="how often each tree is measured")
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"some of: {', '.join(SECTIONS)}")
    return parser.parse_args()


def _run(tree: Path, *, seconds: float, only: str) -> Results:
    command = [str(tree / ".venv" / "bin" / "python"), "-m", "bench", "--seconds", str(seconds), "--only", only]
    subprocess.run(command, cwd=tree, check=True)
    results: Results = json.loads((tree / "bench" / "results" / "latest.json").read_text())
    return results


def print_table(old: list[Results], new: list[Results]) -> None:
    """Print each figure of both trees, their ratio, and whether the goal is met."""
    print(f"\n{'':46}{'old':>10}{'new':>10}{'ratio':>8}   goal")
    for goal in GOALS:
        before, after = _median(goal, old), _median(goal, new)
        if after is None:
            continue
        met = goal.is_met(before, after)
        verdict = "" if met is None else "   met" if met else "   missed"
        ratio = f"{after / before:8.2f}" if before else " " * 8
        print(f"{goal.name:46}{_write(before)}{_write(after)}{ratio}   {goal.text}{verdict}")


def _median(goal: Goal, results: list[Results]) -> float | None:
    values = [value for each in results if (value := goal.read(each)) is not None]
    return statistics.median(values) if values else None


def _write(value: float | None) -> str:
    if value is None:
        return " " * 10
    return f"{value:10.2f}" if value < 100 else f"{value:10,.0f}"


if __name__ == "__main__":
    sys.exit(main())
