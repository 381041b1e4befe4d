"""Run wrk with one of the load scripts and read its figures, and run the listener for IPNs."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gateway import BenchFailed, Gateway, fetch, find_port, stop_process

SCRIPTS = Path(__file__).parent
TIMEOUT_SECONDS = 10
WRK_MISSING = "The load generator `wrk` is not installed (Debian, Ubuntu: apt install wrk; macOS: brew install wrk)."


@dataclass(frozen=True, slots=True)
class Sink:
    """The listener for IPNs, in a process of its own."""

    port: int

    @property
    def url(self) -> str:
        """Where to post."""
        return f"http://127.0.0.1:{self.port}/ipn"

    def count(self) -> int:
        """Return how many IPNs were acknowledged."""
        return int(fetch(f"http://127.0.0.1:{self.port}", "/")[1])


def require_wrk() -> None:
    """Raise BenchFailed where wrk is missing."""
    if shutil.which("wrk") is None:
        raise BenchFailed(WRK_MISSING)


async def run_wrk(
    gateway: Gateway,
    script: str,
    *,
    connections: int,
    seconds: float,
    ipn_url: str = "",
    rate: float = 0.0,
) -> dict[str, Any]:
    """Load a gateway for a while. Without a `rate` each connection sends as soon as it has its answer."""
    process = await asyncio.create_subprocess_exec(
        "wrk", "--threads=1", f"--connections={connections}", f"--duration={max(1, round(seconds))}s",
        f"--timeout={TIMEOUT_SECONDS}s", f"--script={SCRIPTS / script}.lua", gateway.base_url,
        env=_environment(gateway, ipn_url=ipn_url, rate=rate),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output = (await process.communicate())[0].decode(errors="replace")
    line = next((line for line in output.splitlines() if line.startswith("BENCH ")), None)
    if process.returncode or line is None:
        raise BenchFailed(f"wrk failed:\n{output[-2000:]}")
    return summarize(json.loads(line.removeprefix("BENCH ")))


async def run_payments(
    gateway: Gateway, sink: Sink, *, connections: int, seconds: float, rate: float = 0.0
) -> dict[str, Any]:
    """Load all processes of a gateway with payments; they share the connections."""
    gateways = (gateway, *gateway.others)
    share = max(1, connections // len(gateways))
    results = await asyncio.gather(
        *(
            run_wrk(each, "payment", connections=share, seconds=seconds, ipn_url=sink.url, rate=rate)
            for each in gateways
        )
    )
    sums = {name: sum(result[name] for result in results) for name in ("rate", "requests", "errors", "late")}
    worst = {name: max(result[name] for result in results) for name in ("p50_ms", "p99_ms", "longest_ms")}
    return sums | worst


def summarize(said: dict[str, Any]) -> dict[str, Any]:
    """Turn what a script said into figures. Every answer but a 2xx and every broken connection is an error."""
    errors = ("refused", "connect_errors", "read_errors", "write_errors", "timeouts")
    return {
        "rate": said["requests"] / said["seconds"],
        "p50_ms": said["p50_ms"],
        "p99_ms": said["p99_ms"],
        "longest_ms": said["longest_ms"],
        "requests": said["requests"],
        "errors": sum(said[name] for name in errors),
        "late": said.get("late", 0),
    }


def _environment(gateway: Gateway, *, ipn_url: str, rate: float) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "BENCH_DIRECTORY": str(SCRIPTS),
        "BENCH_KEY": gateway.api_key,
        "BENCH_SITE": gateway.site_id,
        "BENCH_IPN": ipn_url,
        "BENCH_RUN": secrets.token_hex(4),
        "BENCH_SEED": str(secrets.randbelow(2**31)),
        "BENCH_RATE": str(rate),
    }


@asynccontextmanager
async def run_sink(endpoints: int = 1) -> AsyncIterator[Sink]:
    """Run the listener until the block ends."""
    sink = Sink(find_port())
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.sink", str(sink.port), str(endpoints))
    try:
        await _until_listening(sink)
        yield sink
    finally:
        await stop_process(process)


async def _until_listening(sink: Sink) -> None:
    for _ in range(100):
        try:
            sink.count()
        except OSError:
            await asyncio.sleep(0.1)
        else:
            return
    raise BenchFailed("The listener for IPNs did not start.")
