"""`tollhouse work` in a process of its own, watched through its port."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.processes import build_node, build_node_environment, get, run_nodes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_worker_tells_how_it_is(database_dsn: str, data_directory: Path) -> None:
    """With `--health-port` a worker answers for its health and its numbers, and serves nothing else."""
    worker = build_node("work", build_node_environment(database_dsn, data_directory), data_directory / "log")
    with run_nodes(worker):
        assert json.loads(get(f"{worker.health_url}/healthz")[1]) == {"status": "ok"}
        assert json.loads(get(f"{worker.health_url}/readyz")[1]) == {"status": "ready"}
        assert b"tollhouse_outbox_events 0.0" in get(f"{worker.health_url}/metrics")[1]
        assert get(f"{worker.health_url}/openapi.json")[0] == 404
