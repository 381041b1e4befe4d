"""`python -m bench`: measure, print the table, write bench/results/latest.json."""

from __future__ import annotations

import argparse
import asyncio
import sys

import structlog

from bench.gateway import RESULTS, BenchFailed
from bench.load import require_wrk
from bench.machine import describe_machine
from bench.plan import SECTIONS, Bench
from bench.report import print_goals, print_head, write_results
from tollhouse.storage.embedded import EmbeddedPostgres


def main() -> int:
    """Run the benchmark and return the exit code: goals that are missed do not fail it."""
    arguments = _parse()
    chosen = [name for name in arguments.only.replace(",", " ").split() if name]
    if unknown := set(chosen) - set(SECTIONS):
        print(f"There is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}.", file=sys.stderr)
        return 2
    bench = Bench(seconds=arguments.seconds, timeout_seconds=arguments.patience)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    try:
        asyncio.run(_run(bench, chosen or list(SECTIONS)))
    except BenchFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each measurement")
    parser.add_argument("--only", default="", help=f"some of: {', '.join(SECTIONS)}")
    parser.add_argument("--patience", type=float, default=10.0, help="seconds to wait for a quiet machine each time")
    return parser.parse_args()


async def _run(bench: Bench, sections: list[str]) -> None:
    require_wrk()
    RESULTS.mkdir(exist_ok=True)
    machine = describe_machine(RESULTS, EmbeddedPostgres(RESULTS).binaries / "postgres")
    print_head(machine)
    try:
        for name in sections:
            await SECTIONS[name](bench)
    finally:
        write_results(
            RESULTS / "latest.json",
            machine=machine,
            figures=bench.figures,
            memory=bench.memory,
            rows=bench.rows,
            code=bench.code,
        )
    print_goals(bench.figures, bench.memory)


if __name__ == "__main__":
    sys.exit(main())
