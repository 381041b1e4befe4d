"""A deployment of real processes on one machine: PostgreSQL, two `serve`, two `work` and the simulator.

Each process is a `Node` that can be killed, paused, terminated and started again. Nodes share their environment, as
the nodes of a real deployment share theirs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
from tests.support.commands import run_tollhouse
from tests.support.processes import Node, build_environment, build_node, build_node_environment

OWN_POSTGRES = Path(__file__).parents[1] / "support" / "own_postgres.py"

#: Short enough that the resolver looks at what a killed process left within the test.
TIMES = {
    "TOLLHOUSE_ACQUIRER_TIMEOUT_SECONDS": "3",
    "TOLLHOUSE_ACQUIRER_LONGEST_DELAY_SECONDS": "0.5",
    "TOLLHOUSE_RESOLVER_MARGIN_SECONDS": "1",
}


class Deployment:
    """All processes of a gateway in stage, on one PostgreSQL cluster in `directory`."""

    def __init__(self, directory: Path, *, serves: int = 2, works: int = 2) -> None:
        self.directory = directory
        self.data_directory = directory / "data"
        self.database = Node(
            "postgres",
            [sys.executable, str(OWN_POSTGRES), str(directory), "durable"],
            build_environment(),
            self._log("postgres"),
            is_ready=lambda: asyncio.run(_can_connect(self.dsn)),
        )
        self._addresses: dict[str, str] = {}
        self.simulator = self._build("simulate", "simulate")
        self._addresses["TOLLHOUSE_SIMULATOR_URL"] = self.simulator.url
        self.serves = [self._build("serve", f"serve-{number}") for number in range(serves)]
        self._addresses["TOLLHOUSE_BASE_URL"] = self.serves[0].url
        self.works = [self._build("work", f"work-{number}") for number in range(works)]

    @property
    def nodes(self) -> list[Node]:
        """Every process but the database."""
        return [self.simulator, *self.serves, *self.works]

    @property
    def urls(self) -> list[str]:
        """The addresses of the API."""
        return [serve.url for serve in self.serves]

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
        # As the how-to for separate processes says: `dev` makes the demo merchant.
        dev = build_node("dev", self._environment(), self._log("dev"))
        dev.start()
        dev.terminate()
        for node in self.nodes:
            node.start()

    def run(self, *arguments: str) -> None:
        """Run a command of `tollhouse` to its end. Raises AssertionError if it fails."""
        done = run_tollhouse(*arguments, environment=self._environment())
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}"

    def find_ledger_violations(self) -> list[str]:
        """Return the violations that `tollhouse ledger verify` lists; none if the ledger holds."""
        done = run_tollhouse("ledger", "verify", environment=self._environment())
        return (done.stdout + done.stderr).splitlines() if done.returncode else []

    def close(self) -> None:
        """End every process, the database last."""
        for node in (*self.nodes, self.database):
            node.close()

    def _build(self, command: str, name: str) -> Node:
        return build_node(command, self._environment(), self._log(name), name=name)

    def _environment(self) -> dict[str, str]:
        return build_node_environment(self.dsn, self.data_directory, **TIMES, **self._addresses)

    def _log(self, name: str) -> Path:
        return self.directory.parent / f"{self.directory.name}-{name}.log"


async def _can_connect(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, timeout=2)
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return False
    await connection.close()
    return True
