"""Real processes: `tollhouse dev` as `make run` starts it, on a port and in a directory of its own."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2] / "src"
START_SECONDS = 60.0
STOP_SECONDS = 8.0


def find_free_port() -> int:
    """Return a port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RunningGateway:
    """One gateway process, which may be stopped, killed and started again on the same data."""

    def __init__(self, data_directory: Path, **environment: str) -> None:
        self.data_directory = data_directory
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def demo(self) -> dict[str, Any]:
        """What stands in demo.json."""
        content: dict[str, Any] = json.loads((self.data_directory / "demo.json").read_text())
        return content

    @property
    def log(self) -> str:
        """What the process has written so far."""
        return (self.data_directory.parent / f"{self.data_directory.name}.log").read_text()

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the process and wait until it takes payments."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")}
        own |= {"PYTHONPATH": str(SOURCE), "TOLLHOUSE_LOG_FORMAT": "json"} | self._environment
        command = [sys.executable, "-m", "tollhouse", "dev", "--port", str(self.port)]
        with (self.data_directory.parent / f"{self.data_directory.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--data-dir", str(self.data_directory)], env=own, stdout=log, stderr=log
            )
        self._wait_until_ready()

    def stop(self) -> float:
        """Ask the process to stop, and return how many seconds it took."""
        assert self._process is not None
        begun = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=STOP_SECONDS)
        return time.monotonic() - begun

    def wait(self) -> int:
        """Wait until the process ends by itself, and return its exit code."""
        assert self._process is not None
        return self._process.wait(timeout=STOP_SECONDS)

    def kill(self) -> None:
        """Kill the process, as a power cut would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=STOP_SECONDS)

    def close(self) -> None:
        """End the process, however it is."""
        if self._process is not None and self._process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        give_up_at = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up_at:
            if self._process.poll() is not None:
                raise AssertionError(f"the gateway ended with {self._process.returncode}:\n{self.log[-4000:]}")
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=1):  # noqa: S310 - our own address
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"the gateway did not get ready:\n{self.log[-4000:]}")


class Gateways:
    """Gateways that tests share as long as one after another wants them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: dict[str, RunningGateway] = {}
        self._numbers = itertools.count(1)

    def share(self, name: str, **environment: str) -> RunningGateway:
        """Return the gateway of a name, started if none of that name runs."""
        if name not in self._running:
            gateway = RunningGateway(self._directory / f"{name}-{next(self._numbers)}", **environment)
            self._running[name] = gateway
            gateway.start()
        return self._running[name]

    def close(self) -> None:
        """End all that run. Who wants one afterwards gets a new one."""
        while self._running:
            self._running.popitem()[1].close()


def request(
    url: str, *, body: Any = None, key: str | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Send one request and return status and JSON; a body makes it a POST."""
    own = {"Content-Type": "application/json", **(headers or {})}
    if key:
        own["Authorization"] = key
    data = json.dumps(body).encode() if body is not None else None
    sending = urllib.request.Request(url, data=data, headers=own)  # noqa: S310 - our own address
    try:
        with urllib.request.urlopen(sending, timeout=30) as response:  # noqa: S310 - our own address
            return response.status, json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")
