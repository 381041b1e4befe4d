"""The table and the JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: More than this used by strangers, in processors, and a figure says little.
DISTURBED = 0.1

#: Name, section and setting of the figure, its number, whether more is better, and the goal.
GOALS = (
    ("payments at 64 connections, of the limit", "payment, IPNs not posted", "64 connections", "ratio", True, 0.40),
    ("through the simulator, of the limit", "simulator, IPNs not posted", "64 connections", "ratio", True, 0.25),
    ("/tokenize a second", "tokenize", "64 connections", "rate", True, 3000.0),
    ("p99 at 200 payments a second, ms", "paced, IPNs not posted", "200 a second", "p99_ms", False, 25.0),
    ("the same with IPNs posted", "paced, IPNs posted", "200 a second", "p99_ms", False, 25.0),
    ("the same through the simulator too", "paced, simulator, IPNs posted", "200 a second", "p99_ms", False, 25.0),
    ("renewals, of payments at 64 connections", "renewals", "approving", "of_payments", True, 0.5),
    ("ten years of a monthly plan, s", "clock, monthly plan", "ten years", "seconds", False, 10.0),
)
MEMORY_GOAL_MIB = 250.0

HEAD = (
    f"{'':30}{'':16}{'per s':>8}{'of limit':>9}{'p50 ms':>8}{'p99 ms':>8}{'errors':>7}"
    f"{'gateway us':>12}{'database us':>12}   processors used: gateway, database, load, others"
)


@dataclass(frozen=True, slots=True)
class Figure:
    """What was found at one setting."""

    section: str
    setting: str
    numbers: dict[str, Any]


def print_head(machine: dict[str, Any]) -> None:
    """Print what is measured on."""
    sync = machine["fdatasync"]
    print(f"{machine['cores']} cores, {machine['cpu']}, {machine['memory_gib']} GiB, {machine['file_system']}")
    print(f"PostgreSQL {machine['postgresql']}, Python {machine['python']}, commit {machine['commit']}")
    print(f"fdatasync of a page: {sync['median_ms']} ms, p99 {sync['p99_ms']} ms ({sync['per_second']} a second)\n")
    print(HEAD)


def print_figure(figure: Figure) -> None:
    """Print one line."""
    numbers = figure.numbers
    used = numbers["processors"]
    errors = numbers.get("errors", 0) + numbers.get("unapproved", 0) + numbers.get("late", 0)
    print(
        f"{figure.section:30}{figure.setting:16}{numbers['rate']:8.0f}{_write(numbers.get('ratio'), 9, 2)}"
        f"{_write(numbers.get('p50_ms', numbers.get('mean_ms')), 8, 1)}{_write(numbers.get('p99_ms'), 8, 1)}{errors:7}"
        f"{_write(numbers['gateway_us'] or None, 12, 0)}{numbers['database_us']:12.0f}   "
        f"{used['gateway']:.2f} {used['database']:.2f} {used['bench']:.2f} {used['others']:.2f}"
        f"{'  DISTURBED' if used['others'] > DISTURBED else ''}",
        flush=True,
    )


def _write(number: float | None, width: int, digits: int) -> str:
    return f"{number:{width}.{digits}f}" if number is not None else " " * width


def print_goals(figures: list[Figure], memory: dict[str, float]) -> None:
    """Print what was wanted beside what was found. Nothing fails by it."""
    print("\ngoals")
    found = {(figure.section, figure.setting): figure.numbers for figure in figures}
    for name, section, setting, number, more_is_better, goal in GOALS:
        value = found.get((section, setting), {}).get(number)
        if value is not None:
            _print_goal(name, value, goal, more_is_better=more_is_better)
    if "at_rest_mib" in memory:
        _print_goal("memory at rest, MiB", memory["at_rest_mib"], MEMORY_GOAL_MIB, more_is_better=False)
        print(f"  memory after start {memory['started_mib']} MiB, after the load {memory.get('after_load_mib')} MiB")


def _print_goal(name: str, value: float, goal: float, *, more_is_better: bool) -> None:
    is_met, sign = (value >= goal, ">=") if more_is_better else (value <= goal, "<=")
    print(f"  {name:44}{value:10.2f}   goal {sign} {goal:g}   {'met' if is_met else 'missed'}")


def write_results(
    path: Path,
    *,
    machine: dict[str, Any],
    figures: list[Figure],
    memory: dict[str, float],
    rows: dict[str, Any],
    code: dict[str, Any],
) -> None:
    """Write everything down for machines."""
    path.parent.mkdir(exist_ok=True)
    content = {
        "machine": machine,
        "figures": [asdict(figure) for figure in figures],
        "memory": memory,
        "rows": rows,
        "code": code,
    }
    path.write_text(json.dumps(content, indent=2) + "\n")
