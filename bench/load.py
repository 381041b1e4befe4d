"""Running wrk with one of the load scripts, and reading what it says."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from bench.gateway import BenchFailed, Gateway

SCRIPTS = Path(__file__).parent
TIMEOUT_SECONDS = 10
WRK_MISSING = "The load generator `wrk` is not installed (Debian, Ubuntu: apt install wrk; macOS: brew install wrk)."


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
