"""A deployment of real processes on one machine: PostgreSQL, two `serve`, two `work` and the simulator.

Each process is a `Node` that can be killed, paused, terminated and started again. Nodes share their environment, as
the nodes of a real deployment share theirs.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
from tests.support.gateways import SOURCE, START_SECONDS, find_free_port

OWN_POSTGRES = Path(__file__).parents[1] / "support" / "own_postgres.py"
#: Drain, grace and the ends of loops together take less; a process that takes longer ignores SIGTERM.
STOP_SECONDS = 15.0

#: Short enough that the resolver looks at what a killed process left within the test.
TIMES = {
    "TOLLHOUSE_ACQUIRER_TIMEOUT_SECONDS": "3",
    "TOLLHOUSE_ACQUIRER_LONGEST_DELAY_SECONDS": "0.5",
    "TOLLHOUSE_RESOLVER_MARGIN_SECONDS": "1",
}


class Node:
    """One process: started until it is ready, and ended in any way."""

    def __init__(
        self, name: str, command: Sequence[str], environment: dict[str, str], log: Path, *, is_ready: Callable[[], bool]
    ) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._log = log
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Everything that the process has written, over all its starts."""
        return self._log.read_text(errors="replace")

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that was started last."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)
        give_up_at = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up_at:
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.log[-4000:]}")
            if self._is_ready():
                return
            time.sleep(0.05)
        raise AssertionError(f"{self.name} did not get ready:\n{self.log[-4000:]}")

    def kill(self) -> None:
        """End the process with SIGKILL, as a power cut would."""
        self.process.kill()
        self.process.wait(timeout=STOP_SECONDS)

    def terminate(self) -> float:
        """Send SIGTERM and return the seconds until the process ended; AssertionError if it does not end well."""
        begun_at = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} ignored SIGTERM for {STOP_SECONDS} s:\n{self.log[-2000:]}") from None
        assert code == 0, f"{self.name} ended with {code} after SIGTERM:\n{self.log[-2000:]}"
        return time.monotonic() - begun_at

    def pause(self) -> None:
        """Stop the process from running, with SIGSTOP; its connections stay open."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the process if it runs or is paused."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(timeout=STOP_SECONDS)


class Deployment:
    """All processes of a gateway in stage, on one PostgreSQL cluster in `directory`."""

    def __init__(self, directory: Path, *, serves: int = 2, works: int = 2, **environment: str) -> None:
        self.directory = directory
        self.data_directory = directory / "data"
        self.urls: list[str] = []
        self._ports: list[int] = [find_free_port() for _ in range(2 * (serves + works) + 1)]
        self._extra = environment
        self.database = Node(
            "postgres",
            [sys.executable, str(OWN_POSTGRES), str(directory), "durable"],
            self._environment(),
            self._log("postgres"),
            is_ready=self._is_database_ready,
        )
        self.simulator = self._build_simulator()
        self.serves = [self._build_serve(number) for number in range(serves)]
        self.works = [self._build_work(number) for number in range(works)]

    @property
    def nodes(self) -> list[Node]:
        """Every process but the database."""
        return [self.simulator, *self.serves, *self.works]

    @property
    def dsn(self) -> str:
        """The database."""
        return f"postgresql://tollhouse@/tollhouse?host={quote(str(self.directory / 'socket'), safe='')}"

    @property
    def demo(self) -> dict[str, Any]:
        """The content of demo.json: the merchant whose API key the load uses."""
        content: dict[str, Any] = json.loads((self.data_directory / "demo.json").read_text())
        return content

    def start(self) -> None:
        """Start everything, the database first, with a demo merchant."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o711)
        self.database.start()
        self.run("migrate")
        self._make_demo()
        for node in self.nodes:
            node.start()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `tollhouse` to its end, in the environment of the deployment."""
        command = [sys.executable, "-m", "tollhouse", *arguments]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done

    def find_ledger_violations(self) -> list[str]:
        """Return what `tollhouse ledger verify` says against the ledger; nothing if it holds."""
        command = [sys.executable, "-m", "tollhouse", "ledger", "verify"]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).splitlines() if done.returncode else []

    def close(self) -> None:
        """End every process."""
        for node in (*self.nodes, self.database):
            node.close()

    def _make_demo(self) -> None:
        """Run `tollhouse dev` until it has made the demo merchant, as the how-to for separate processes says."""
        port = find_free_port()
        command = [sys.executable, "-m", "tollhouse", "dev", "--port", str(port)]
        url = f"http://127.0.0.1:{port}/readyz"
        dev = Node("dev", command, self._environment(), self._log("dev"), is_ready=lambda: answers(url))
        dev.start()
        dev.terminate()

    def _environment(self, **own: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")}
        return inherited | {
            "PYTHONPATH": str(SOURCE),
            "TOLLHOUSE_LOG_FORMAT": "json",
            "TOLLHOUSE_DATABASE_URL": self.dsn,
            "TOLLHOUSE_SIMULATOR_SECRET": "a secret of the test",
            "TOLLHOUSE_DATA_DIR": str(self.data_directory),
            **TIMES,
            **self._extra,
            **own,
        }

    def _build_simulator(self) -> Node:
        port = self._ports.pop()
        self._simulator_url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "tollhouse", "simulate", "--port", str(port)]
        environment = self._environment(TOLLHOUSE_SIMULATOR_BASE_URL=f"http://localhost:{port}")
        url = f"{self._simulator_url}/readyz"
        return Node("simulate", command, environment, self._log("simulate"), is_ready=lambda: answers(url))

    def _build_serve(self, number: int) -> Node:
        port, health_port = self._ports.pop(), self._ports.pop()
        self.urls.append(f"http://127.0.0.1:{port}")
        command = [sys.executable, "-m", "tollhouse", "serve", "--port", str(port)]
        environment = self._environment(
            TOLLHOUSE_SIMULATOR_URL=self._simulator_url,
            TOLLHOUSE_BASE_URL=self.urls[0],
            TOLLHOUSE_HEALTH_PORT=str(health_port),
        )
        url = f"http://127.0.0.1:{health_port}/readyz"
        name = f"serve-{number}"
        return Node(name, command, environment, self._log(name), is_ready=lambda: answers(url))

    def _build_work(self, number: int) -> Node:
        port = self._ports.pop()
        command = [sys.executable, "-m", "tollhouse", "work"]
        environment = self._environment(
            TOLLHOUSE_SIMULATOR_URL=self._simulator_url,
            TOLLHOUSE_BASE_URL=self.urls[0],
            TOLLHOUSE_HEALTH_PORT=str(port),
        )
        url = f"http://127.0.0.1:{port}/readyz"
        name = f"work-{number}"
        return Node(name, command, environment, self._log(name), is_ready=lambda: answers(url))

    def _log(self, name: str) -> Path:
        return self.directory.parent / f"{self.directory.name}-{name}.log"

    def _is_database_ready(self) -> bool:
        return asyncio.run(_can_connect(self.dsn))


def answers(url: str) -> bool:
    """Return whether an address answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own address
            return True
    except OSError:
        return False


async def _can_connect(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, timeout=2)
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return False
    await connection.close()
    return True
