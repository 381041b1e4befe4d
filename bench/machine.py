"""Facts about the machine, and who used its processors while something was measured."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
FSYNC_SECONDS = 1.0
FSYNC_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of processor time since the machine or the processes began."""

    at: float
    machine: float
    gateway: float
    database: float
    bench: float

    def since(self, earlier: Usage) -> dict[str, float]:
        """Return the processors that each used on average, 1.0 being one whole processor."""
        elapsed = self.at - earlier.at
        used = {
            name: (getattr(self, name) - getattr(earlier, name)) / elapsed
            for name in ("machine", "gateway", "database", "bench")
        }
        machine = used.pop("machine")
        used["others"] = max(0.0, machine - sum(used.values()))
        return {name: round(value, 3) for name, value in used.items()}


def read_usage(gateways: Collection[int], database: int | None) -> Usage:
    """Read what was used by the gateway's processes, by the database (its first process given), by us and the load."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    processes = _read_processes()
    measured = {*gateways, *([] if database is None else [database])}
    used = _sum_tree(processes, database) if database is not None else 0.0
    is_child = database in processes and processes[database].parent in {*gateways} - {os.getpid()}
    own_tree = sum(_sum_tree(processes, child) for child in _children(processes, os.getpid()) if child not in measured)
    return Usage(
        at=time.monotonic(),
        machine=_read_busy_seconds(),
        gateway=sum(_sum_gateway(processes, gateway) for gateway in gateways) - (used if is_child else 0.0),
        database=used,
        bench=own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime + own_tree,
    )


def _sum_gateway(processes: dict[int, _Process], gateway: int) -> float:
    """Return the seconds of a gateway with its children; where a benchmark is the gateway itself, its own."""
    return processes[gateway].own if gateway == os.getpid() else _sum_tree(processes, gateway)


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    own: float
    with_ended_children: float


def _read_processes() -> dict[int, _Process]:
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                text = (path / "stat").read_text()
            except OSError:  # it has just ended
                continue
            fields = text[text.rindex(")") + 2 :].split()
            times = [int(ticks) / TICKS for ticks in fields[11:15]]
            found[int(path.name)] = _Process(int(fields[1]), sum(times[:2]), sum(times))
    return found


def _children(processes: dict[int, _Process], parent: int) -> list[int]:
    return [number for number, process in processes.items() if process.parent == parent]


def _sum_tree(processes: dict[int, _Process], root: int) -> float:
    if root not in processes:
        return 0.0
    return processes[root].with_ended_children + sum(
        _sum_tree(processes, child) for child in _children(processes, root)
    )


def find_child(parent: int, name: str) -> int | None:
    """Return the process of this name that `parent` started, or None."""
    for child in _children(_read_processes(), parent):
        try:
            if Path(f"/proc/{child}/comm").read_text().strip() == name:
                return child
        except OSError:
            continue
    return None


def _read_busy_seconds() -> float:
    fields = [int(ticks) for ticks in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    user, nice, system, _, _, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) / TICKS


async def wait_until_quiet(timeout_seconds: float, *, idle_share: float = 0.95) -> bool:
    """Wait until the machine does next to nothing for a second; False when patience ended before."""
    give_up_at = time.monotonic() + timeout_seconds
    while True:
        before, began = _read_busy_seconds(), time.monotonic()
        await asyncio.sleep(1.0)
        busy = (_read_busy_seconds() - before) / (time.monotonic() - began) / (os.cpu_count() or 1)
        if busy <= 1 - idle_share:
            return True
        if time.monotonic() >= give_up_at:
            return False


def read_rss_mib(process: int) -> float:
    """Return the resident memory of one process, in MiB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def describe_machine(directory: Path, postgres: Path) -> dict[str, Any]:
    """Say what was measured, on what. `directory` is where the database will be."""
    return {
        "cores": os.cpu_count(),
        "cpu": _read_cpu_model(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "file_system": _output("stat", "-f", "-c", "%T", str(directory)),
        "fdatasync": measure_fdatasync(directory),
        "python": platform.python_version(),
        "postgresql": _output(str(postgres), "--version").rpartition(" ")[2],
        "commit": _output("git", "describe", "--always", "--dirty"),
    }


def measure_fdatasync(directory: Path) -> dict[str, float]:
    """Write and sync pages in a file that is there already, as PostgreSQL does with its log, for a second."""
    path, page = directory / "fdatasync", os.urandom(FSYNC_BYTES)
    took: list[float] = []
    path.write_bytes(page * 256)
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.fsync(descriptor)
        give_up_at = time.monotonic() + FSYNC_SECONDS
        while time.monotonic() < give_up_at:
            began = time.perf_counter()
            os.pwrite(descriptor, page, len(took) % 256 * FSYNC_BYTES)
            os.fdatasync(descriptor)
            took.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
        path.unlink()
    took.sort()
    return {
        "median_ms": round(took[len(took) // 2] * 1e3, 3),
        "p99_ms": round(took[len(took) * 99 // 100] * 1e3, 3),
        "per_second": round(len(took) / sum(took)),
    }


def _read_cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
