"""Real processes: `tollhouse dev` as `make run` starts it, on a port and in a directory of its own."""

from __future__ import annotations

import itertools
import json
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.support.processes import Node, build_environment, find_free_port, has_status


class RunningGateway(Node):
    """One gateway process, which may be terminated, killed and started again on the same data."""

    def __init__(self, data_directory: Path, **environment: str) -> None:
        self.data_directory = data_directory
        port = find_free_port()
        url = f"http://127.0.0.1:{port}"
        super().__init__(
            "the gateway",
            [sys.executable, "-m", "tollhouse", "dev", "--port", str(port), "--data-dir", str(data_directory)],
            build_environment(**{"TOLLHOUSE_LOG_FORMAT": "json"} | environment),
            data_directory.parent / f"{data_directory.name}.log",
            is_ready=lambda: has_status(f"{url}/readyz", HTTPStatus.OK),
            port=port,
            health_port=port,
        )

    @property
    def demo(self) -> dict[str, Any]:
        """The content of demo.json."""
        content: dict[str, Any] = json.loads((self.data_directory / "demo.json").read_text())
        return content

    def close(self) -> None:
        """End the process, with SIGTERM first: its database is on disk when it has ended."""
        if self.is_running:
            self.resume()
            self.request_stop()
            with suppress(AssertionError):
                self.wait_for_exit()
        super().close()


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
