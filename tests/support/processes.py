"""Start, watch and end real processes. Every test that needs a process of its own uses this module.

A `Node` is one process. It inherits no setting of Tollhouse from the machine that runs the tests, writes into a log
file, and is ready when its health says so. It can be killed, paused, terminated and started again.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2] / "src"
PROGRAM = (sys.executable, "-m", "tollhouse")
START_SECONDS = 60.0
#: Drain, grace and the ends of loops together take less; a process that takes longer ignores SIGTERM.
STOP_SECONDS = 15.0
SIMULATOR_SECRET = "a secret of the test"
NOWHERE = "http://127.0.0.1:9"

#: Below the range from which Linux draws the ports of outgoing connections: a process that is started again finds its
#: port free.
PORTS = range(15_000, 32_000)
_used_ports: set[int] = set()
_chance = random.SystemRandom()


def find_free_port() -> int:
    """Return a port on which no process listens, and which this function has not returned before."""
    for port in _chance.sample(PORTS, len(PORTS)):
        if port in _used_ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _used_ports.add(port)
        return port
    raise AssertionError("no port is free")


def build_environment(**own: str) -> dict[str, str]:
    """Return the environment of a user who has set nothing of Tollhouse's but `own`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")}
    return inherited | {"PYTHONPATH": str(SOURCE)} | own


def build_node_environment(dsn: str, data_directory: Path, **own: str) -> dict[str, str]:
    """Return the environment of separate processes on one database; without `own` they reach no simulator."""
    return build_environment(
        **{
            "TOLLHOUSE_DATABASE_URL": dsn,
            "TOLLHOUSE_DATA_DIR": str(data_directory),
            "TOLLHOUSE_SIMULATOR_URL": NOWHERE,
            "TOLLHOUSE_SIMULATOR_SECRET": SIMULATOR_SECRET,
            "TOLLHOUSE_LOG_FORMAT": "json",
        }
        | own
    )


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = START_SECONDS) -> None:
    """Wait until a condition holds. Raises AssertionError, with `what` was waited for, after `seconds`."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {seconds} s in vain for {what}"
        time.sleep(0.02)


def get(url: str) -> tuple[int, bytes]:
    """Return the status and the content of a page, whatever the status. Raises OSError if no process listens."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - our own address
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def has_status(url: str, status: int | None) -> bool:
    """Return whether an address answers with a status; for None, whether no process listens there."""
    try:
        return get(url)[0] == status
    except OSError:
        return status is None


class Node:
    """A process: started until it is ready, and ended in any way."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        is_ready: Callable[[], bool],
        port: int = 0,
        health_port: int = 0,
    ) -> None:
        self.name = name
        self.port = port
        self.health_port = health_port
        self._command = command
        self._environment = environment
        self._log = log
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the process."""
        return self._environment

    @property
    def url(self) -> str:
        """The address of its port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def health_url(self) -> str:
        """The address of its health port."""
        return f"http://127.0.0.1:{self.health_port}"

    @property
    def log(self) -> str:
        """Everything that the process has written, over all its starts."""
        return self._log.read_text(errors="replace")

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """The log of a process that writes JSON, line by line."""
        return [json.loads(line) for line in self.log.splitlines()]

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that was started last."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process

    @property
    def pid(self) -> int:
        """The id of the process that was started last."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process was started and has not ended; also while it is paused."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process and wait until it is ready. Raises AssertionError if it ends or does not get ready."""
        assert not self.is_running, f"{self.name} runs already"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)
        give_up_at = time.monotonic() + START_SECONDS
        while True:
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.log[-4000:]}")
            if self._is_ready():
                return
            assert time.monotonic() < give_up_at, f"{self.name} did not get ready:\n{self.log[-4000:]}"
            time.sleep(0.05)

    def kill(self) -> None:
        """End the process with SIGKILL, as a power cut would."""
        self.process.kill()
        self.process.wait(timeout=STOP_SECONDS)

    def request_stop(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait_for_exit(self) -> int:
        """Wait until the process has ended, and return its exit code. Raises AssertionError if it does not end."""
        try:
            return self.process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end in {STOP_SECONDS} s:\n{self.log[-4000:]}") from None

    def terminate(self) -> float:
        """Send SIGTERM and return the seconds until the process ended. Raises AssertionError unless it ends well."""
        begun_at = time.monotonic()
        self.request_stop()
        code = self.wait_for_exit()
        assert code == 0, f"{self.name} ended with {code} after SIGTERM:\n{self.log[-4000:]}"
        return time.monotonic() - begun_at

    def pause(self) -> None:
        """Stop the process from running, with SIGSTOP, and wait until it has stopped; its connections stay open."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT | os.WEXITED)

    def resume(self) -> None:
        """Let a paused process go on, with SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the process if it runs or is paused."""
        if self.is_running:
            self.kill()


def build_node(
    command: str, environment: Mapping[str, str], log: Path, *, name: str | None = None, options: Sequence[str] = ()
) -> Node:
    """Build a process of `tollhouse` with free ports; `dev` and `simulate` tell their health on the port itself."""
    port = health_port = find_free_port()
    ports = {"TOLLHOUSE_PORT": str(port)}
    if command in {"serve", "work"}:
        health_port = find_free_port()
        ports["TOLLHOUSE_HEALTH_PORT"] = str(health_port)
    if command == "simulate":
        ports["TOLLHOUSE_SIMULATOR_BASE_URL"] = f"http://localhost:{port}"  # not the gateway's host, as a bank's is not
    return Node(
        name or command,
        [*PROGRAM, command, *options],
        {**environment, **ports},
        log,
        is_ready=lambda: has_status(f"http://127.0.0.1:{health_port}/readyz", HTTPStatus.OK),
        port=port,
        health_port=health_port,
    )


@contextmanager
def run_nodes(*nodes: Node) -> Iterator[None]:
    """Run processes until the block ends; the last one is terminated first, and each has to end well."""
    try:
        for node in nodes:
            node.start()
        yield
        for node in reversed(nodes):
            if node.is_running:
                node.terminate()
    finally:
        for node in nodes:
            node.close()
