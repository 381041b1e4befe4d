"""The gateway as a process of its own, on a fresh data directory, started as a user starts it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import asyncpg

from bench.machine import find_child

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
START_SECONDS = 90.0
STOP_SECONDS = 15.0
FINISHED = re.compile(rb'^tollhouse_payments_total\{.*status="(\w+)".*\} ([0-9.e+]+)$', re.MULTILINE)


class BenchFailed(Exception):
    """A figure could not be taken."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that answers."""

    process: int
    database: int | None
    directory: Path
    base_url: str
    health_url: str
    api_key: str
    site_id: str
    #: Other processes of the same gateway, each on a port of its own.
    others: tuple[Gateway, ...] = ()

    @property
    def processes(self) -> tuple[int, ...]:
        """The processes whose time is the gateway's."""
        return (self.process, *(other.process for other in self.others))

    def count_finished(self) -> dict[str, int]:
        """Return how many payments this process has finished, by status, as its metrics say."""
        pages = [fetch(each.health_url, "/metrics")[1] for each in (self, *self.others)]
        found = [each for page in pages for each in FINISHED.findall(page)]
        counts: dict[str, int] = {}
        for status, number in found:
            counts[status.decode()] = counts.get(status.decode(), 0) + int(float(number))
        return counts

    def read_complaints(self) -> str:
        """Return the last lines of the log that tell of something wrong."""
        lines = (self.directory / "gateway.log").read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if '"level":"info"' not in line][-5:])

    async def execute(self, statement: str) -> None:
        """Run a statement in the gateway's schema."""
        connection = await asyncpg.connect(dsn_of(self.directory), server_settings={"search_path": "gateway"})
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@asynccontextmanager
async def data_directory() -> AsyncIterator[Path]:
    """Lend a fresh data directory on the disk of the repository: `/tmp` may be memory, where syncing costs nothing."""
    directory = _make_directory()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _make_directory() -> Path:
    RESULTS.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="data-", dir=RESULTS))
    directory.chmod(0o711)  # the database of a gateway that root started runs as nobody
    return directory


@asynccontextmanager
async def run_gateway(
    directory: Path, *, acquirer: str, database_url: str | None = None, options: Sequence[str] = ()
) -> AsyncIterator[Gateway]:
    """Run `tollhouse dev`, or `tollhouse serve` on a database that is there, until the block ends."""
    port = find_port()
    command = "serve" if database_url else "dev"
    health_port = find_port()
    options = [*options, "--port", str(port), "--health-port", str(health_port)] + (
        [] if database_url else ["--data-dir", str(directory)]
    )
    log_path = directory / "gateway.log"
    with _open_log(log_path) as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tollhouse", command, *options,
            cwd=directory, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            env=_environment(directory, acquirer=acquirer, database_url=database_url),
        )  # fmt: skip
    try:
        base_url = f"http://127.0.0.1:{port}"
        health_url = f"http://127.0.0.1:{health_port}"
        await _until_answering(process, health_url, log_path)
        demo = _read_demo(directory)
        postgres = None if database_url else find_child(process.pid, "postgres")
        yield Gateway(process.pid, postgres, directory, base_url, health_url, demo["apiKey"], demo["siteId"])
    finally:
        await stop_process(process)


async def serves_processes() -> bool:
    """Tell whether this program has `tollhouse serve --processes`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tollhouse", "serve", "--help",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"},
    )  # fmt: skip
    return b"--processes" in (await process.communicate())[0]


def _read_demo(directory: Path) -> dict[str, str]:
    demo: dict[str, str] = json.loads((directory / "demo.json").read_text())
    return demo


def _environment(directory: Path, *, acquirer: str, database_url: str | None) -> dict[str, str]:
    """Return the environment of a user who set nothing but what a measurement needs."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")}
    own = {"PYTHONPATH": str(ROOT / "src"), "TOLLHOUSE_ACQUIRER": acquirer, "TOLLHOUSE_DATA_DIR": str(directory)}
    if database_url:
        own |= {
            "TOLLHOUSE_DATABASE_URL": database_url,
            "TOLLHOUSE_SIMULATOR_URL": "http://127.0.0.1:9",
            "TOLLHOUSE_SIMULATOR_SECRET": secrets.token_hex(16),
        }
    return {**given, **own}


async def _until_answering(process: asyncio.subprocess.Process, base_url: str, log_path: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at and process.returncode is None:
        if await asyncio.to_thread(_answers, base_url):
            return
        await asyncio.sleep(0.05)
    raise BenchFailed("The gateway did not start:\n" + _tail_of(log_path))


def _open_log(path: Path) -> BinaryIO:
    return path.open("ab")


def _tail_of(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-5:])


def _answers(base_url: str) -> bool:
    try:
        return fetch(base_url, "/readyz")[0] == 200
    except OSError:
        return False


def fetch(base_url: str, path: str) -> tuple[int, bytes]:
    """Get a page from this machine and return its status and content. Raises OSError."""
    connection = http.client.HTTPConnection(base_url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


async def stop_process(process: asyncio.subprocess.Process) -> None:
    """End a process that we started, politely and then not."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


def find_port() -> int:
    """Return a port of the loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def dsn_of(directory: Path) -> str:
    """Return where the embedded database of a running gateway is."""
    return f"postgresql://tollhouse@/tollhouse?host={quote(str((directory / 'socket').resolve()), safe='')}"
